package sagakafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// States of a step at its barrier. Whatever comes first, the command or its compensation, writes the row; the other finds it. A
// transaction that writes a row which another one is just writing waits for that one's end.
const (
	stateDone     = "done"
	stateRejected = "rejected"
	stateUndone   = "undone"
	stateBarred   = "barred"
)

// message is a command as it arrived.
type message struct {
	address
	replyTo string
	payload json.RawMessage
}

func (m message) ctx(ctx context.Context, resultKnown bool) saga.Ctx {
	return saga.NewCtx(ctx, saga.AttemptInfo{
		Saga: m.saga, SagaID: saga.ID(m.sagaID), Key: m.key, Step: m.step, Direction: m.direction, Attempt: max(m.attempt, 1),
		ResultKnown: resultKnown,
	})
}

// do has the effect unless the barrier knows the step already. If we die before the commit, the command is delivered again and
// nothing happened; if we die after it, the next delivery finds the row and repeats the reply.
func (p *Participant) do(ctx context.Context, m message, c Command) (outcome string, err error) {
	err = p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		first, err := p.enter(ctx, tx, m, stateDone)
		if err != nil {
			return err
		}
		if !first {
			outcome, err = p.repeat(ctx, tx, m)
			return err
		}
		result, err := c.do(m.ctx(ctx, false), tx, m.payload)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update mmf_saga_barrier set result = $3 where participant = $1 and step_key = $2",
			p.cfg.Name, m.stepKey(), []byte(result)); err != nil {
			return err
		}
		outcome = HandledDone
		return p.reply(ctx, tx, m, outcomeDone, "", result)
	})
	var refusal *saga.RejectError
	if !errors.As(err, &refusal) {
		return outcome, err
	}
	// The refusal rolled back whatever the handler wrote; that it was refused is noted by itself. If we die in between, the
	// next delivery asks the handler again.
	err = p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		first, err := p.enter(ctx, tx, m, stateRejected)
		if err != nil {
			return err
		}
		if !first {
			outcome, err = p.repeat(ctx, tx, m)
			return err
		}
		reason := shorten(refusal.Reason)
		if _, err := tx.Exec(ctx, "update mmf_saga_barrier set reason = $3 where participant = $1 and step_key = $2",
			p.cfg.Name, m.stepKey(), reason); err != nil {
			return err
		}
		outcome = HandledRejected
		return p.reply(ctx, tx, m, outcomeRejected, reason, nil)
	})
	return outcome, err
}

// undo takes the effect back if there is one. Without a row it leaves one, which bars the command that is still on its way.
func (p *Participant) undo(ctx context.Context, m message, c Command) (outcome string, err error) {
	err = p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		first, err := p.enter(ctx, tx, m, stateBarred)
		if err != nil {
			return err
		}
		outcome = HandledNull
		if !first {
			if outcome, err = p.takeBack(ctx, tx, m, c); err != nil {
				return err
			}
		}
		return p.reply(ctx, tx, m, outcomeDone, "", nil)
	})
	var refusal *saga.RejectError
	if !errors.As(err, &refusal) {
		return outcome, err
	}
	// A compensation cannot be refused; the saga is told, so that it parks and somebody looks.
	err = p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		return p.reply(ctx, tx, m, outcomeRejected, shorten(refusal.Reason), nil)
	})
	return HandledRejected, err
}

func (p *Participant) takeBack(ctx context.Context, tx data.Tx, m message, c Command) (outcome string, err error) {
	n, err := tx.Exec(ctx, "update mmf_saga_barrier set state = $3 where participant = $1 and step_key = $2 and state = $4",
		p.cfg.Name, m.stepKey(), stateUndone, stateDone)
	if err != nil {
		return "", err
	}
	state, result, _, err := p.read(ctx, tx, m)
	switch {
	case err != nil:
		return "", err
	case n == 0 && state == stateRejected:
		return HandledNull, nil
	case n == 0:
		return HandledRepeated, nil
	case c.undo == nil:
		return "", saga.Reject("the participant %q declared no compensation", p.cfg.Name)
	}
	return HandledUndone, c.undo(m.ctx(ctx, true), tx, m.payload, result)
}

// enter writes the step's first row; false says that there is one already.
func (p *Participant) enter(ctx context.Context, tx data.Tx, m message, state string) (first bool, err error) {
	n, err := tx.Exec(ctx, "insert into mmf_saga_barrier (participant, step_key, state) values ($1, $2, $3) on conflict do nothing",
		p.cfg.Name, m.stepKey(), state)
	return n == 1, err
}

func (p *Participant) read(ctx context.Context, tx data.Tx, m message) (state string, result json.RawMessage, reason string, err error) {
	var raw []byte
	err = tx.QueryRow(ctx, "select state, result, reason from mmf_saga_barrier where participant = $1 and step_key = $2",
		p.cfg.Name, m.stepKey()).Scan(&state, &raw, &reason)
	return state, raw, reason, err
}

// repeat answers a command that was answered before, or that its compensation overtook.
func (p *Participant) repeat(ctx context.Context, tx data.Tx, m message) (outcome string, err error) {
	state, result, reason, err := p.read(ctx, tx, m)
	if err != nil {
		return "", err
	}
	switch state {
	case stateDone:
		return HandledRepeated, p.reply(ctx, tx, m, outcomeDone, "", result)
	case stateRejected:
		return HandledRepeated, p.reply(ctx, tx, m, outcomeRejected, reason, nil)
	default:
		return HandledBarred, p.reply(ctx, tx, m, outcomeRejected, "the step was compensated before", nil)
	}
}

func (p *Participant) reply(ctx context.Context, tx data.Tx, m message, outcome, reason string, result json.RawMessage) error {
	return p.cfg.Write(ctx, tx, replyEvent(m.address, m.replyTo, outcome, reason, result))
}

// shorten makes a reason fit for a header.
func shorten(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(reason, "\uFFFD"), "\x00", "\uFFFD")
}

// purgeBatch bounds one deletion, so that it holds no lock for long.
const purgeBatch = 1000

// Purge forgets steps that were first heard of longer ago than that, by the database's clock, and returns how many. The time must exceed
// both the life of the longest saga and the retention of the command topic: a forgotten step that is delivered again has its
// effect again. It deletes in small transactions; after an error the count says how many are gone already.
func (p *Participant) Purge(ctx context.Context, olderThan time.Duration) (deleted int64, err error) {
	clock := "cast(unixepoch('subsec') * 1000000 as integer)"
	if p.db.Dialect() == data.Postgres {
		clock = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
	}
	for {
		n, err := p.db.Exec(ctx, `delete from mmf_saga_barrier where (participant, step_key) in (
			select participant, step_key from mmf_saga_barrier where participant = $1 and noted_at < `+clock+` - $2
			order by noted_at limit $3)`, p.cfg.Name, olderThan.Microseconds(), purgeBatch)
		if err != nil {
			return deleted, fmt.Errorf("sagakafka: purge: %w", err)
		}
		if deleted += n; n < purgeBatch {
			return deleted, nil
		}
	}
}
