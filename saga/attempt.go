package saga

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/marty-framework/mmf/data"
)

type attemptResult struct {
	node    *node
	flight  *flight // the attempt that it belongs to
	undo    bool
	attempt int
	payload []byte
	err     error
	took    time.Duration
	void    bool // it counts for nothing: it never began, or was stopped for another node to repeat
}

// start begins what is due: plain steps in goroutines of their own, then at most one transactional step or dispatch right
// here, because its record must be the saga's next. It returns the records that the latter asks for, nil when there was none.
func (a *activation) start(cmds []Command) ([]Record, error) {
	if a.m.parked || a.w.isDraining() || !a.w.open(a.lane) {
		return nil, nil
	}
	now := a.w.now()
	var inline *Command
	for _, c := range cmds {
		if c.Op != OpRun || c.NotBefore.After(now) || a.inflight[c.node.id] != nil {
			continue
		}
		if !a.w.mayStart() {
			return nil, nil
		}
		if c.node.kind == kindStep {
			if err := a.launch(c); err != nil {
				return nil, err
			}
		} else if inline == nil {
			inline = &c
		}
	}
	if inline == nil {
		return nil, nil
	}
	return a.runInTx(*inline)
}

// infoFor describes an attempt. It reads the machine, so it belongs to the activation, not to the attempt's goroutine.
func (a *activation) infoFor(c Command) *AttemptInfo {
	ns := &a.m.nodes[c.node.id]
	info := &AttemptInfo{
		Saga: a.m.def.name, SagaID: a.ref.ID, Step: c.Node, Attempt: c.Attempt, Direction: Do, Key: stepKey(a.uid, c.Node, c.Undo),
		ResultKnown: ns.known, publishTo: a.w.e.cfg.Publish,
	}
	if c.Undo {
		info.Direction = Undo
	}
	return info
}

// stepKey identifies a step of a saga in one direction; it needs no write before the first attempt.
func stepKey(uid UID, step string, undo bool) string {
	if undo {
		return uid.String() + "/" + step + "/undo"
	}
	return uid.String() + "/" + step + "/do"
}

// launch carries out one attempt of a plain step in its own goroutine.
func (a *activation) launch(c Command) error {
	state, err := a.m.stateFor(c.node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(a.w.e.contextOf(a.w.steps, a.m))
	f := &flight{undo: c.Undo, cancel: cancel}
	a.inflight[c.node.id] = f
	delete(a.suspects, c.Node)
	result, info := a.m.nodes[c.node.id].result, a.infoFor(c)
	a.w.actors.start(func() {
		defer cancel(nil)
		r := attemptResult{node: c.node, flight: f, undo: c.Undo, attempt: c.Attempt}
		select {
		case a.w.sem <- struct{}{}:
			r.void = !a.w.mayStart() || !a.w.open(a.lane) // much may have happened while it waited for its turn
		case <-ctx.Done():
			r.void, r.err = true, context.Cause(ctx)
			a.post(event{kind: evResult, result: r})
			return
		}
		leave := sync.OnceFunc(func() { <-a.w.sem })
		defer leave()
		if r.void {
			a.post(event{kind: evResult, result: r})
			return
		}
		limited, stop := context.WithTimeout(ctx, c.node.timeout)
		defer stop()
		began := time.Now()
		unwatch := a.watchAttempt(limited, info, r, began, leave)
		r.payload, r.err = a.call(Ctx{limited, info}, c, nil, state, result)
		unwatch()
		a.report(ctx, limited, r, began)
	})
	return nil
}

// report hands the result of an attempt over. Nobody takes it when the attempt was given up meanwhile.
func (a *activation) report(ctx, limited context.Context, r attemptResult, began time.Time) {
	if r.err != nil && limited.Err() != nil && ctx.Err() == nil {
		r.err = fmt.Errorf("no result within %s: %w", r.node.timeout, r.err)
	}
	r.took = time.Since(began)
	r.void = r.err != nil && errors.Is(context.Cause(ctx), errDraining)
	a.post(event{kind: evResult, result: r})
}

// call runs the user's function and contains its panics.
func (a *activation) call(c Ctx, cmd Command, tx data.Tx, state, result any) (payload []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			payload, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var r any
	carried := false
	attempt := func(c Ctx) (err error) {
		carried = true
		if cmd.Undo {
			return cmd.node.undo(c, tx, state, result)
		}
		r, err = cmd.node.do(c, tx, state)
		return err
	}
	if around := a.w.e.cfg.Around; around != nil {
		err = around(c, attempt)
	} else {
		err = attempt(c)
	}
	if err == nil && !carried {
		err = errNotCarried
	}
	if err != nil || cmd.Undo {
		return nil, err
	}
	if cmd.node.kind == kindRemote {
		return nil, nil // the result comes with the reply
	}
	payload, err = encodeResult(r, a.w.e.cfg.MaxPayload)
	if err != nil {
		return nil, err
	}
	if _, err := cmd.node.decode(payload); err != nil {
		return nil, fmt.Errorf("result does not decode again: %w", err)
	}
	return payload, nil
}

// runInTx carries out a transactional step, or dispatches a remote one, together with its record.
func (a *activation) runInTx(c Command) ([]Record, error) {
	state, err := a.m.stateFor(c.node)
	if err != nil {
		return nil, err
	}
	select {
	case a.w.txSem <- struct{}{}:
		defer func() { <-a.w.txSem }()
	case <-a.w.steps.Done():
		return nil, nil
	}
	limit := c.node.timeout
	if c.node.kind == kindRemote {
		limit = 2 * time.Second // the timeout is the wait for the reply
	}
	ctx, cancel := context.WithTimeout(a.w.e.contextOf(a.w.steps, a.m), limit)
	defer cancel()
	began := time.Now()
	var write Write
	err = a.w.e.store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		payload, err := a.call(Ctx{ctx, a.infoFor(c)}, c, tx, state, a.m.nodes[c.node.id].result)
		if err != nil {
			return err
		}
		now := a.w.now()
		rec := Record{Seq: a.m.seq + 1, At: now, Kind: Done, Node: c.Node, Undo: c.Undo, Payload: payload}
		if err := a.m.tryFold(c.node, rec); err != nil {
			return &poisonError{c.Node, err} // once committed, such a record would make the whole journal unreadable
		}
		if c.node.kind == kindRemote {
			rec.Kind, rec.Due = Armed, now.Add(c.node.timeout)
		}
		rec.End = a.m.endAfter(rec)
		write = Write{
			Ref: a.ref, LaneEpoch: a.laneEpoch, Records: []Record{rec}, End: rec.End != outcomeNone,
			MailDone: a.mailIDs(), Wake: a.asleep,
		}
		return a.w.e.store.AppendTx(ctx, tx, a.w.lease, write)
	})
	r := attemptResult{node: c.node, undo: c.Undo, attempt: c.Attempt, err: err, took: time.Since(began)}
	switch {
	case err == nil:
		a.observe(r)
		if err := a.m.apply(write.Records[0]); err != nil {
			return nil, err
		}
		a.written(write)
		return []Record{}, nil
	case errors.Is(err, ErrFenced):
		a.w.lose(err)
		return nil, err
	case errors.Is(err, ErrStale), errors.As(err, new(*poisonError)):
		return nil, err
	case a.w.steps.Err() != nil:
		return nil, nil // stopping: whoever owns the saga next repeats it
	}
	// After a lost commit reply the record that is written next takes the same number. If the transaction did commit, that
	// write is refused as stale and the journal is read again; if not, the number is taken and it never will.
	a.observe(r)
	return a.failure(c.node, c.Undo, err, a.w.now()), nil
}

// tryFold folds a result into a copy of the state, to see whether that panics.
func (m *machine) tryFold(n *node, r Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("saga: folding the result of step %q panicked: %v", n.name, p)
		}
	}()
	if r.Kind != Done || r.Undo || n.fold == nil {
		return nil
	}
	result, err := n.decode(r.Payload)
	if err != nil {
		return err
	}
	state := m.state
	if !m.def.flat {
		if state, err = m.compute(n); err != nil {
			return err
		}
	}
	n.fold(state, result)
	return nil
}

// endAfter tells whether the saga ends with this record, so that both are one. Only states without shared memory can be
// tried out on a copy; others end with a record of its own.
func (m *machine) endAfter(r Record) Outcome {
	if !m.def.flat || r.Kind != Done {
		return outcomeNone
	}
	trial := *m
	trial.nodes, trial.cmds = append([]nodeState(nil), m.nodes...), nil
	if trial.apply(r) != nil {
		return outcomeNone
	}
	if next := trial.next(); len(next) == 1 && next[0].Op == OpEnd {
		return next[0].Outcome
	}
	return outcomeNone
}

func (a *activation) observe(r attemptResult) {
	h := a.w.e.cfg.Hooks.Attempted
	if h == nil {
		return
	}
	e := AttemptEvent{
		Saga: a.m.def.name, ID: a.ref.ID, Step: r.node.name, Direction: Do, Attempt: r.attempt, Outcome: "done", Err: r.err, Duration: r.took,
	}
	if r.undo {
		e.Direction = Undo
	}
	var reject *RejectError
	switch {
	case errors.As(r.err, &reject):
		e.Outcome = "rejected"
	case r.err != nil:
		e.Outcome = "failed"
	case r.node.kind == kindRemote:
		e.Outcome = "sent"
	}
	h(a.w.e.contextOf(a.w.ctx, a.m), e)
}
