package saga

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// worker is one incarnation of an engine: a lease, the lanes it owns, and the sagas in memory. It ends with the lease.
type worker struct {
	e     *Engine
	lease Lease

	ctx      context.Context // ends when nothing may be done any more
	end      context.CancelCauseFunc
	steps    context.Context // of step attempts; ends when they must stop
	values   context.Context // of Run, without its end
	sem      chan struct{}
	txSem    chan struct{}
	writer   *writer
	nudge    chan struct{}
	admit    chan struct{} // makes the queues look
	plan     chan struct{} // makes the schedules look
	claimNow chan struct{}

	actors crew // activations that are running and attempts under way

	mu       sync.Mutex
	lanes    map[int64]*ownedLane
	acts     map[UID]*activation
	mailSeen map[int64]struct{} // mail handed out and not yet forgotten
	setbacks map[UID]setback
	mailGone []int64       // of these, what was deleted since the current look began
	beatAt   time.Time     // local time of the last confirmed beat
	offset   time.Duration // database time minus local time
	draining bool

	attemptsMu sync.Mutex
	attempts   map[*attempt]struct{} // plain steps that are under way or wait for their turn
	halted     error                 // why none may go on
	haltSteps  context.CancelCauseFunc

	backlog backlog // its map and count belong to mu
	timers  *timers
	claims  atomic.Int64 // grows with every claim that brought lanes
	pressed atomic.Bool  // more sagas want to be in memory than may
	ears    ears

	// lanesMu keeps the store's view of this node's lanes and its own from changing at the same time.
	lanesMu sync.Mutex
}

// incarnate joins, works until the lease or ctx ends, and leaves.
func (e *Engine) incarnate(ctx context.Context) error {
	sent := time.Now()
	lease, err := e.store.Join(ctx, e.cfg.Node, e.kinds(), e.cfg.TTL)
	if err != nil {
		return err
	}
	// The lease outlives ctx by the drain; only losing it ends the worker at once.
	values := context.WithoutCancel(ctx)
	wctx, end := context.WithCancelCause(values)
	defer end(nil)
	steps, halt := context.WithCancelCause(wctx)
	defer halt(nil)
	w := &worker{
		e: e, lease: lease, ctx: wctx, end: end, steps: steps, haltSteps: halt, values: values,
		sem: make(chan struct{}, e.cfg.Concurrency), txSem: make(chan struct{}, e.cfg.TxConcurrency),
		nudge: make(chan struct{}, 1), lanes: map[int64]*ownedLane{}, acts: map[UID]*activation{}, mailSeen: map[int64]struct{}{},
		setbacks: map[UID]setback{}, attempts: map[*attempt]struct{}{}, beatAt: sent, timers: newTimers(), claimNow: make(chan struct{}, 1),
		admit:   make(chan struct{}, 1),
		plan:    make(chan struct{}, 1),
		backlog: backlog{after: map[int64]UID{}, found: map[string]int{}, kick: make(chan struct{}, 1)},
	}
	w.timers.longest = max(w.timers.longest, e.cfg.Poll)
	w.writer = newWriter(w)

	var loops sync.WaitGroup
	loops.Go(w.writer.run)
	loops.Go(w.writer.help)
	loops.Go(w.beatLoop)
	loops.Go(w.claimLoop)
	loops.Go(w.intake)
	loops.Go(w.watchLoop)
	loops.Go(w.strayLoop)
	loops.Go(w.upkeep)
	loops.Go(w.recoverLoop)
	loops.Go(w.timerLoop)
	loops.Go(w.listen)
	loops.Go(w.admitLoop)
	loops.Go(w.scheduleLoop)
	e.calls.say(wordClaim) // others have lanes to spare now

	select {
	case <-ctx.Done():
		w.drain()
	case <-wctx.Done():
	}
	cause := context.Cause(wctx)
	end(errDraining)
	w.halt(errDraining)
	e.serve(w, false)
	w.actors.close()
	loops.Wait()
	w.writer.refuse(w.actors.rest())
	if cause == nil {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := e.store.Leave(bye, lease)
		e.calls.now(bye, wordClaim)
		return err
	}
	return cause
}

// drain stops starting attempts and gives the running ones their grace.
func (w *worker) drain() {
	w.mu.Lock()
	w.draining = true
	acts := make([]*activation, 0, len(w.acts))
	for _, a := range w.acts {
		acts = append(acts, a)
	}
	w.mu.Unlock()
	for _, a := range acts {
		a.post(event{kind: evWake})
	}
	idle := w.actors.rest()
	grace := time.NewTimer(w.e.cfg.Grace)
	defer grace.Stop()
	select {
	case <-idle:
		return
	case <-w.ctx.Done():
	case <-grace.C:
	}
	w.halt(errDraining)
	hard := time.NewTimer(time.Second)
	defer hard.Stop()
	select {
	case <-idle:
	case <-hard.C: // an attempt ignores its context; its late result is dropped
	}
}

// lose ends the worker: somebody else may own its sagas now.
func (w *worker) lose(err error) {
	if errors.Is(err, ErrFenced) && w.ctx.Err() == nil {
		w.tellFenced()
	}
	w.halt(err)
	w.end(err)
}

// serve makes the worker the engine's current one, or no longer.
func (e *Engine) serve(w *worker, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case on && w.ctx.Err() == nil:
		e.worker = w
	case !on && e.worker == w:
		e.worker = nil
	}
}

// beatLoop does nothing that could take long besides beating.
func (w *worker) beatLoop() {
	tick := time.NewTicker(w.e.cfg.TTL / 5)
	defer tick.Stop()
	for {
		if err := w.beat(); err != nil && w.ctx.Err() == nil {
			if errors.Is(err, ErrFenced) {
				w.lose(err)
				return
			}
			w.e.fail(w.ctx, err)
			if w.sinceBeat() > w.e.cfg.TTL {
				w.lose(errors.Join(ErrFenced, err))
				return
			}
		}
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// claimLoop takes lanes, recovers their sagas and hands lanes over, as the membership of the cluster asks.
func (w *worker) claimLoop() {
	tick := time.NewTicker(w.e.cfg.TTL / 5)
	defer tick.Stop()
	for !w.isDraining() {
		if err := w.claim(); err != nil && w.ctx.Err() == nil {
			w.e.fail(w.ctx, err)
		}
		w.e.serve(w, true)
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
		case <-w.claimNow:
		}
	}
}

func (w *worker) beat() error {
	ctx, cancel := context.WithTimeout(w.ctx, w.e.cfg.TTL/4)
	defer cancel()
	sent := time.Now()
	now, err := w.e.store.Beat(ctx, w.lease)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beatAt, w.offset = sent, now.Sub(sent.Round(0))
	return nil
}

func (w *worker) sinceBeat() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.beatAt)
}

// mayStart reports whether new attempts may begin: the lease is fresh and the engine is not stopping.
func (w *worker) mayStart() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.draining && time.Since(w.beatAt) <= w.e.cfg.TTL/2
}

func (w *worker) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// now is the database's time as this node knows it.
func (w *worker) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.offset)
}

// claim takes the lanes that are due to this node, recovers their sagas, and hands surplus lanes over.
func (w *worker) claim() error {
	fresh, surplus, err := w.adopt()
	if err != nil {
		if errors.Is(err, ErrFenced) {
			w.lose(err)
		}
		return err
	}
	w.enqueue(fresh)
	return w.handOver(surplus)
}
