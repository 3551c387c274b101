package saga

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errHung ends an attempt that went on after its context had ended.
var errHung = errors.New("saga: the attempt ignores its context; whether it still has an effect is not known")

// watchLoop gives attempts up that are still under way [Config.Grace] after their context ended, whether by their timeout,
// because the saga turned back or because the lane goes to another node. Such an attempt counts as failed, which for
// anything that is not transactional means that its effect may still come: it is repeated under its key, or undone.
// Whoever gives the attempt's place back first, the attempt or the watch, decides. The place is free again in any case, so
// that functions that never return do not stop everything else.
func (w *worker) watchLoop() {
	tick := time.NewTicker(max(w.e.cfg.Grace/8, 5*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done(): // nothing of this worker counts any more
			return
		case <-tick.C:
		}
		for _, t := range w.hung() {
			t.giveUp()
		}
	}
}

func (w *worker) hung() (hung []*attempt) {
	w.attemptsMu.Lock()
	defer w.attemptsMu.Unlock()
	for t := range w.attempts {
		if at, cause := t.ctx.ended(); cause != nil && t.placed.Load() && t.begun.Load() && time.Since(at) >= w.e.cfg.Grace {
			hung = append(hung, t)
		}
	}
	return hung
}

func (t *attempt) giveUp() {
	if !t.a.w.leave(t) {
		return // it has just returned
	}
	_, cause := t.ctx.ended()
	r := &attemptResult{node: t.cmd.node, flight: t, undo: t.cmd.Undo, attempt: t.cmd.Attempt, took: time.Since(t.began)}
	r.err, r.void = fmt.Errorf("%w: %w", errHung, cause), errors.Is(cause, errDraining)
	if h := t.a.w.e.cfg.Hooks.Hung; h != nil {
		h(context.WithoutCancel(t.traced), AttemptEvent{
			Saga: t.info.Saga, ID: t.info.SagaID, Step: t.info.Step, Direction: t.info.Direction, Attempt: t.info.Attempt,
			Outcome: "unknown", Err: r.err, Duration: r.took,
		})
	}
	t.a.post(event{kind: evResult, result: r})
}
