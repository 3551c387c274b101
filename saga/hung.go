package saga

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errHung ends an attempt that went on after its context had ended.
var errHung = errors.New("saga: the attempt ignores its context; whether it still has an effect is not known")

// watchAttempt gives the attempt up when it is still under way [Config.Grace] after its context ended, whether by its
// timeout, because the saga turned back or because the lane goes to another node. The attempt then counts as failed, which
// for anything that is not transactional means that its effect may still come: it is repeated under its key, or undone.
// Whoever is first, the attempt or the watch, decides; the other is recognised as late by the flight. The place among the
// concurrent attempts is given back, so that functions that never return do not stop everything else.
func (a *activation) watchAttempt(ctx context.Context, info *AttemptInfo, r attemptResult, began time.Time, leave func()) (unwatch func()) {
	returned := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(a.w.e.cfg.Grace)
		defer grace.Stop()
		select {
		case <-returned:
			return
		case <-a.w.ctx.Done(): // nothing of this worker counts any more
			return
		case <-grace.C:
		}
		r.err, r.took = fmt.Errorf("%w: %w", errHung, context.Cause(ctx)), time.Since(began)
		r.void = errors.Is(context.Cause(ctx), errDraining)
		leave()
		if h := a.w.e.cfg.Hooks.Hung; h != nil {
			h(context.WithoutCancel(ctx), AttemptEvent{
				Saga: info.Saga, ID: info.SagaID, Step: info.Step, Direction: info.Direction, Attempt: info.Attempt,
				Outcome: "unknown", Err: r.err, Duration: r.took,
			})
		}
		a.post(event{kind: evResult, result: r})
	})
	return func() {
		stop()
		close(returned)
	}
}
