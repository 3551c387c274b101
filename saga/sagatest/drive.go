package sagatest

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// The engine's settings are such that days of virtual time cost little: it is told of everything that happens in its process.
// A saga with long waits gets long ones of its own, so that they do not fill the waits with beats.
const (
	virtualTTL = time.Minute
	longTTL    = 10 * time.Minute
	longWait   = time.Hour
)

// drive carries the schedule out: one process after the other, until the saga has ended and nothing is under way any more.
func (r *run) drive() {
	r.began = time.Now()
	if r.boot() != nil {
		return
	}
	defer r.stop()
	r.mu.Lock()
	for _, f := range r.schedule {
		if f.Kind == SignalEarly {
			r.background(func() { r.early(f) })
		}
	}
	r.mu.Unlock()
	if !r.begin() {
		close(r.over)
		r.work.Wait()
		return
	}
	ended := r.follow()
	close(r.over)
	if ended {
		time.Sleep(10 * time.Second)
		r.stop()
		time.Sleep(r.patience) // what is late comes now
	}
	r.work.Wait()
	if ended {
		r.mu.Lock()
		r.changed = true
		r.mu.Unlock()
		_ = r.watchInvariants()
		for _, end := range r.finally {
			if err := end.holds(r.outcome); err != nil {
				r.found(Finding{Bug: end.name, Property: "invariant", Detail: err.Error()})
			}
		}
	}
}

func (r *run) stop() {
	r.front.stop()
	<-r.front.ended
}

// early sends a signal as soon as the saga exists.
func (r *run) early(f Fault) {
	for name, send := range r.opts.signals {
		if f.At != "signal:"+name {
			continue
		}
		for range 100 {
			r.mu.Lock()
			begun := r.stamps[1] != 0
			r.mu.Unlock()
			if begun {
				break
			}
			time.Sleep(time.Second)
		}
		r.mu.Lock()
		r.fired = append(r.fired, f)
		r.noteLocked("  ⚡ %s", f)
		r.mu.Unlock()
		r.sendSignal(name, send)
	}
}

// boot starts a process.
func (r *run) boot() error {
	ctx, stop := context.WithCancel(r.ctx)
	f := &front{Store: r.store, r: r, stop: stop, ended: make(chan struct{}), killed: make(chan struct{})}
	e, err := saga.New(saga.Config{
		Node: "node", TTL: r.ttl, Poll: r.ttl, Grace: r.ttl, Around: r.around(f), Publish: (&World{r}).Write, Codec: placeCodec{},
	}, f, r.def)
	if err != nil {
		stop()
		close(f.ended)
		r.found(Finding{Bug: "invalid-definition", Property: "Def.Err", Detail: err.Error()})
		return err
	}
	r.mu.Lock()
	r.engine, r.front = e, f
	r.mu.Unlock()
	go func() {
		defer close(f.ended)
		_ = e.Run(ctx)
	}()
	for !e.Running() && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// replace starts a process in place of one that died. The lease of the dead must run out first.
func (r *run) replace() {
	<-r.front.ended
	time.Sleep(r.ttl + time.Second)
	r.note("a new process takes over")
	_ = r.boot()
}

func (r *run) begin() bool {
	for range 10 {
		err := r.start(r.ctx, r.engine)
		if r.front.dead.Load() {
			r.replace()
			continue // whoever starts does not know, so asks again
		}
		if err == nil {
			return true
		}
		time.Sleep(time.Second)
		r.note("start fails: %s", short(err.Error()))
	}
	r.found(Finding{Bug: "cannot-start", Property: "LIVE-1", Detail: "the saga could not be started"})
	return false
}

// maxResumes is how often somebody asks a parked saga to try again. Injected faults are over by then.
const maxResumes = 2

// follow waits for the end and does what operations would do: replace dead processes, resume parked sagas.
func (r *run) follow() bool {
	for {
		r.mu.Lock()
		outcome, parked, reason := r.outcome, r.parked, r.reason
		limit := time.Now()
		if r.wakeAt.After(limit) {
			limit = r.wakeAt
		}
		r.mu.Unlock()
		switch {
		case outcome != "":
			return true
		case r.front.dead.Load():
			r.replace()
			continue
		case parked != "" && r.resumed == maxResumes:
			r.found(r.stuck(parked, reason))
			return false
		case parked != "":
			r.resumed++
			r.mu.Lock()
			clear(r.lasting)
			r.parked = ""
			r.mu.Unlock()
			time.Sleep(time.Second)
			r.note("somebody resumes the saga")
			r.insist(func(e *saga.Engine) error { return e.Retry(r.ctx, sagaID, "sagatest", "the fault is over") })
			continue
		}
		wait := time.NewTimer(time.Until(limit) + 2*r.patience + 10*r.ttl)
		select {
		case <-r.changes:
			wait.Stop()
		case <-r.front.killed:
			wait.Stop()
		case <-wait.C:
			r.found(Finding{Bug: "never-ends", Property: "LIVE-1", Detail: "the saga neither ends nor parks"})
			return false
		}
	}
}

// stuck says why a saga stays parked although the injected faults are over.
func (r *run) stuck(step, reason string) Finding {
	f := Finding{Bug: "stuck", Property: "LIVE-1", Step: step, Detail: "the saga stays parked: " + short(reason)}
	r.mu.Lock()
	defer r.mu.Unlock()
	known, failed, undo, refused := false, false, false, false
	for _, a := range r.attempts {
		if a.step == step && a.err != nil {
			known, failed, undo = known || a.known, true, a.undo
			refused = errors.As(a.err, new(*saga.RejectError))
		}
	}
	switch {
	case failed && undo && !known:
		f.Bug, f.Detail = "undo-assumes-result", "the undo fails when the step's result is not known: "+short(reason)
	case failed && undo:
		f.Bug, f.Detail = "undo-fails", "the undo fails for ever: "+short(reason)
	case declared(r.nodes, step).Class == "retriable" || declared(r.nodes, step).Class == "free":
		f.Bug = "retriable-fails"
		if refused {
			f.Bug = "retriable-rejects"
		}
		f.Detail = "a step that only goes forward fails for ever: " + short(reason)
	}
	return f
}
