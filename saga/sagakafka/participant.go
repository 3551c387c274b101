package sagakafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// ParticipantConfig of a [Participant].
type ParticipantConfig struct {
	// Name of the service. It separates participants that share a database. Required; at most 100 bytes; must never change.
	Name string
	// Write writes a reply in the transaction of the effect: the Write of an outbox in the participant's database. Required.
	Write Write
	// Handled is told about each command that was answered. Optional; must be quick and safe for concurrent use.
	Handled func(ctx context.Context, h Handled)
}

// Handled describes a command that was answered.
type Handled struct {
	Command, Saga, SagaID, Step string
	Direction                   saga.Direction
	// Outcome is done, rejected, undone, repeated (the stored reply was sent again), barred (a command after its compensation), or
	// null (a compensation without an effect to take back).
	Outcome  string
	Duration time.Duration
}

// The outcomes of [Handled].
const (
	HandledDone     = "done"
	HandledRejected = "rejected"
	HandledUndone   = "undone"
	HandledRepeated = "repeated"
	HandledBarred   = "barred"
	HandledNull     = "null"
)

// Command is what a participant does on a command's arrival; see [On].
type Command struct {
	name string
	do   func(saga.Ctx, data.Tx, json.RawMessage) (json.RawMessage, error)
	undo func(saga.Ctx, data.Tx, json.RawMessage, json.RawMessage) error
	err  error
}

// On declares a command: do has its effect in tx and returns the result that the saga gets, or refuses with [saga.Reject] and then
// has no effect. undo takes an effect back; it runs only when do's effect is there, and gets do's result. It may be nil when sagas use
// the command by [CallForward] only. Both run once per saga step as far as tx reaches; both may run again after a failure.
func On[C, R any](name string, do func(saga.Ctx, data.Tx, C) (R, error), undo func(saga.Ctx, data.Tx, C, R) error) Command {
	c := Command{name: name}
	if name == "" || do == nil {
		c.err = fmt.Errorf("command %q needs a name and a do function", name)
		return c
	}
	c.do = func(ctx saga.Ctx, tx data.Tx, raw json.RawMessage) (json.RawMessage, error) {
		var in C
		if err := json.Unmarshal(raw, &in); err != nil {
			return nil, saga.Reject("the command does not decode as %T: %v", in, err)
		}
		out, err := do(ctx, tx, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	}
	if undo == nil {
		return c
	}
	c.undo = func(ctx saga.Ctx, tx data.Tx, raw, result json.RawMessage) error {
		var (
			in  C
			out R
		)
		if err := json.Unmarshal(raw, &in); err != nil {
			return saga.Reject("the command does not decode as %T: %v", in, err)
		}
		if err := json.Unmarshal(result, &out); err != nil {
			return fmt.Errorf("sagakafka: the stored result does not decode as %T: %w", out, err)
		}
		return undo(ctx, tx, in, out)
	}
	return c
}

// Participant carries out commands of other services' sagas, each once. It is safe for concurrent use.
type Participant struct {
	cfg      ParticipantConfig
	db       data.DB
	commands map[string]Command
}

// NewParticipant checks its arguments and touches nothing. db needs the tables of [Migrations] and of the outbox behind
// cfg.Write. The error joins everything that is wrong.
func NewParticipant(cfg ParticipantConfig, db data.DB, commands ...Command) (*Participant, error) {
	var errs []error
	if cfg.Name == "" || len(cfg.Name) > 100 {
		errs = append(errs, fmt.Errorf("the name has %d bytes: it must have 1 to 100", len(cfg.Name)))
	}
	if cfg.Write == nil {
		errs = append(errs, errors.New("Write is nil: pass an outbox's Write"))
	}
	if db == nil {
		errs = append(errs, errors.New("the database is nil"))
	}
	p := &Participant{cfg: cfg, db: db, commands: make(map[string]Command, len(commands))}
	for _, c := range commands {
		if _, twice := p.commands[c.name]; twice {
			errs = append(errs, fmt.Errorf("command %q is declared twice", c.name))
		}
		errs = append(errs, c.err)
		p.commands[c.name] = c
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sagakafka: invalid participant: %w", err)
	}
	return p, nil
}

// Handle carries out one command and writes its reply. It is the handler for the participant's command topic. An event that is no
// command, or one that nobody declared, is a [*MessageError]; any other error means that nothing was committed, except after
// [data.ErrOutcomeUnknown]; in each case the same event may be delivered again.
func (p *Participant) Handle(ctx context.Context, ev data.Event) error {
	began := time.Now()
	a, err := parseAddress(ev)
	if err != nil {
		return err
	}
	command, ok := p.commands[ev.Type]
	if !ok {
		return &MessageError{Type: ev.Type, ID: ev.ID, Reason: "no such command is declared"}
	}
	raw, err := payloadOf(ev)
	if err != nil {
		return &MessageError{Type: ev.Type, ID: ev.ID, Reason: err.Error()}
	}
	m := message{address: a, replyTo: ev.Headers[ReplyToHeader], payload: raw}
	if m.replyTo == "" {
		return &MessageError{Type: ev.Type, ID: ev.ID, Reason: "header " + ReplyToHeader + " is missing"}
	}
	var outcome string
	if a.direction == saga.Do {
		outcome, err = p.do(ctx, m, command)
	} else {
		outcome, err = p.undo(ctx, m, command)
	}
	if err != nil {
		return fmt.Errorf("sagakafka: %s %s of saga %q, step %q: %w", a.direction, ev.Type, a.sagaID, a.step, err)
	}
	if p.cfg.Handled != nil {
		p.cfg.Handled(ctx, Handled{
			Command: ev.Type, Saga: a.saga, SagaID: a.sagaID, Step: a.step, Direction: a.direction, Outcome: outcome, Duration: time.Since(began),
		})
	}
	return nil
}
