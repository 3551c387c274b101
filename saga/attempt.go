package saga

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/data"
)

type attemptResult struct {
	node    *node
	flight  *attempt // that it belongs to
	undo    bool
	attempt int
	payload []byte
	value   any // what payload decodes to
	err     error
	took    time.Duration
	void    bool // it counts for nothing: it never began, or was stopped for another node to repeat
}

// attempt is one call of a plain step's function. Its identity tells its result from that of an attempt that was given up.
type attempt struct {
	ctx           attemptCtx
	traced        context.Context // ctx with what the hooks put into it
	a             *activation
	cmd           Command
	info          AttemptInfo
	state, result any
	began         time.Time
	placed        atomic.Bool // has a place among the concurrent attempts
	begun         atomic.Bool // its function was called, or is about to be
}

// start begins what is due: plain steps beside this, then at most one transactional step or dispatch right here, because its
// record must be the saga's next. It returns the records that the latter asks for, nil when there was none.
func (a *activation) start(cmds []Command) ([]Record, error) {
	if a.m.parked || a.w.isDraining() || !a.w.open(a.lane) {
		return nil, nil
	}
	now := a.w.now()
	var inline *Command
	for i := range cmds {
		c := &cmds[i]
		if c.Op != OpRun || c.NotBefore.After(now) || a.inflight[c.node.id] != nil {
			continue
		}
		if !a.w.mayStart() {
			return nil, nil
		}
		if c.node.kind == kindStep {
			if err := a.launch(*c); err != nil {
				return nil, err
			}
		} else if inline == nil {
			inline = c
		}
	}
	if inline == nil {
		return nil, nil
	}
	return a.runInTx(*inline)
}

// infoFor describes an attempt. It reads the machine, so it belongs to the activation, not to the attempt's goroutine.
func (a *activation) infoFor(c Command) AttemptInfo {
	ns := &a.m.nodes[c.node.id]
	info := AttemptInfo{
		Saga: a.m.def.name, SagaID: a.ref.ID, Step: c.Node, Attempt: c.Attempt, Direction: Do, key: a.m.keyOf(a.uid, c.node, c.Undo),
		ResultKnown: ns.known, publishTo: a.w.e.cfg.Publish,
	}
	if c.Undo {
		info.Direction = Undo
	}
	return info
}

// launch makes ready one attempt of a plain step. The goroutine that works for the saga carries it out itself once it has
// nothing else to do; it starts others for attempts beside that.
func (a *activation) launch(c Command) error {
	state, err := a.m.stateFor(c.node)
	if err != nil {
		return err
	}
	t := &attempt{a: a, cmd: c, info: a.infoFor(c), state: state, result: a.m.nodes[c.node.id].result}
	t.ctx.Context = a.values()
	if a.inflight == nil {
		a.inflight = map[int]*attempt{}
	}
	a.inflight[c.node.id] = t
	delete(a.suspects, c.Node)
	if a.tail == nil {
		a.tail = t
		return nil
	}
	a.spawn(t)
	return nil
}

// spawn carries an attempt out in a goroutine of its own.
func (a *activation) spawn(t *attempt) {
	a.w.actors.start(func() {
		if a.resume(t.carryOut()) {
			a.run()
		}
	})
}

// carryOut makes the attempt and returns its result.
func (t *attempt) carryOut() *attemptResult {
	w, r := t.a.w, &attemptResult{node: t.cmd.node, flight: t, undo: t.cmd.Undo, attempt: t.cmd.Attempt}
	if !w.enter(t) {
		r.void = true
		return r
	}
	defer w.leave(t)
	returned := false
	defer func() {
		if !returned { // the function ended its goroutine, which was also the saga's
			r.err = errGoexit
			w.e.attempted(t.traced, &t.info, r)
			t.a.post(event{kind: evResult, result: r})
		}
	}()
	if !w.mayStart() || !w.open(t.a.lane) { // much may have happened while it waited for its turn
		r.void, returned = true, true
		return r
	}
	t.began = time.Now()
	t.traced = w.e.attempting(&t.ctx, &t.info)
	t.begun.Store(true)
	t.ctx.begin(t.began, t.cmd.node.limitOf(t.cmd.Undo))
	r.payload, r.value, r.err = t.a.call(Ctx{t.traced, &t.info}, t.cmd, nil, t.state, t.result)
	returned = true
	_, cause := t.ctx.ended()
	if r.err != nil && errors.Is(cause, context.DeadlineExceeded) {
		r.err = fmt.Errorf("no result within %s: %w", r.node.limitOf(r.undo), r.err)
	}
	t.ctx.cancel(context.Canceled)
	r.took = time.Since(t.began)
	r.void = !w.leave(t) || r.err != nil && errors.Is(cause, errDraining)
	w.e.attempted(t.traced, &t.info, r)
	return r
}

// enter waits for a place among the concurrent attempts and reports whether the attempt may still begin.
func (w *worker) enter(t *attempt) bool {
	w.attemptsMu.Lock()
	w.attempts[t] = struct{}{}
	halted := w.halted
	w.attemptsMu.Unlock()
	if halted != nil {
		t.ctx.cancel(halted)
	}
	if t.ctx.Err() == nil {
		select {
		case w.sem <- struct{}{}:
			t.placed.Store(true)
			return true
		default:
		}
		select {
		case w.sem <- struct{}{}:
			t.placed.Store(true)
			return true
		case <-t.ctx.Done():
		}
	}
	w.leave(t)
	return false
}

// leave gives the attempt's place back and reports whether it had one; the attempt does so, or whoever gives it up.
func (w *worker) leave(t *attempt) bool {
	w.attemptsMu.Lock()
	delete(w.attempts, t)
	w.attemptsMu.Unlock()
	if t.placed.Swap(false) {
		<-w.sem
		return true
	}
	return false
}

// halt ends the attempts under way, now and from now on.
func (w *worker) halt(cause error) {
	w.haltSteps(cause)
	w.attemptsMu.Lock()
	defer w.attemptsMu.Unlock()
	if w.halted == nil {
		w.halted = cause
	}
	for t := range w.attempts {
		t.ctx.cancel(cause)
	}
}

// call runs the user's function and contains its panics.
func (a *activation) call(c Ctx, cmd Command, tx data.Tx, state, result any) (payload []byte, value any, err error) {
	defer func() { err = cmd.node.guard(err) }()
	defer func() {
		if p := recover(); p != nil {
			payload, value, err = nil, nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var r any
	if around := a.w.e.cfg.Around; around == nil {
		r, err = cmd.invoke(c, tx, state, result)
	} else {
		r, err = cmd.invokeAround(around, c, tx, state, result)
	}
	if err != nil || cmd.Undo {
		return nil, nil, err
	}
	if cmd.node.kind == kindRemote {
		return nil, nil, nil // the result comes with the reply
	}
	payload, err = encodeResult(r, a.w.e.cfg.MaxPayload)
	if err != nil {
		return nil, nil, err
	}
	// What is folded is what a recovery will read, not what the function returned.
	if value, err = cmd.node.decode(payload); err != nil {
		return nil, nil, fmt.Errorf("result does not decode again: %w", err)
	}
	return payload, value, nil
}

// invoke calls the function of the step.
func (c *Command) invoke(ctx Ctx, tx data.Tx, state, result any) (any, error) {
	if c.Undo {
		return nil, c.node.undo(ctx, tx, state, result)
	}
	return c.node.do(ctx, tx, state)
}

// invokeAround lets around call the function, also after it returned: that then counts for nothing.
func (c *Command) invokeAround(around func(Ctx, func(Ctx) error) error, ctx Ctx, tx data.Tx, state, result any) (any, error) {
	var mu sync.Mutex
	var r any
	carried := false
	err := around(ctx, func(ctx Ctx) error {
		v, err := c.invoke(ctx, tx, state, result)
		mu.Lock()
		defer mu.Unlock()
		r, carried = v, true
		return err
	})
	mu.Lock()
	defer mu.Unlock()
	if err == nil && !carried {
		err = errNotCarried
	}
	return r, err
}
