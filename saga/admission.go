package saga

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

func (e *Engine) addQueues() error {
	e.queues = map[string]*Queue{}
	var errs []error
	for _, q := range e.cfg.Queues {
		if q == nil {
			errs = append(errs, errors.New("saga: a queue is nil"))
			continue
		}
		if e.queues[q.kind()] != nil {
			errs = append(errs, fmt.Errorf("saga: queue %q is declared twice", q.name))
		}
		errs = append(errs, q.Err())
		e.queues[q.kind()] = q
		e.rooms = append(e.rooms, DefInfo{Kind: q.kind(), Fingerprint: "queue", Lanes: 1}) // its numbers may change
	}
	if _, ok := e.store.(QueueStore); !ok && len(e.queues) > 0 && e.store != nil {
		errs = append(errs, fmt.Errorf("saga: a store of type %T has no queues", e.store))
	}
	return errors.Join(errs...)
}

// admitLoop lets sagas of this node's queues begin: at every poll, and when one in this process came or ended.
func (w *worker) admitLoop() {
	store, ok := w.e.store.(QueueStore)
	if !ok || len(w.e.queues) == 0 {
		return
	}
	timer := time.NewTimer(w.e.cfg.Poll)
	defer timer.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.admit:
		case <-timer.C:
		}
		next := w.e.cfg.Poll
		for _, lane := range w.queueLanes() {
			wait, err := w.admitFrom(store, lane)
			if err != nil && w.ctx.Err() == nil {
				w.e.fail(w.ctx, fmt.Errorf("saga: queue %q: %w", w.e.queues[lane.Kind].name, err))
			} else if err == nil && wait > 0 {
				next = min(next, wait)
			}
		}
		timer.Reset(next)
	}
}

// admitFrom admits what one queue allows now, and returns how long its rate keeps the next saga.
func (w *worker) admitFrom(store QueueStore, lane Lane) (wait time.Duration, err error) {
	for {
		if w.isDraining() || !w.open(lane.ID) {
			return 0, nil
		}
		ctx, cancel := context.WithTimeout(w.ctx, w.e.cfg.TTL/2)
		done, err := store.Admit(ctx, w.lease, lane, w.e.queues[lane.Kind].limits())
		cancel()
		if done.Admitted > 0 {
			w.e.announce(0)
		}
		if err != nil || !done.More {
			return done.Next, err
		}
	}
}

// queueLanes lists the lanes of queues that this worker owns.
func (w *worker) queueLanes() []Lane {
	return w.roomLanes(func(kind string) bool { return w.e.queues[kind] != nil })
}

// roomLanes lists the lanes that this worker owns and that are no definition's.
func (w *worker) roomLanes(of func(kind string) bool) []Lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lanes []Lane
	for _, id := range w.laneIDsLocked() {
		if l := w.lanes[id]; of(l.Kind) && !l.closing && !l.recovering {
			lanes = append(lanes, l.Lane)
		}
	}
	return lanes
}

// nudgeQueues makes the queues of this process look at once.
func (w *worker) nudgeQueues() {
	select {
	case w.admit <- struct{}{}:
	default:
	}
}

// QueueStatus describes a queue.
type QueueStatus struct {
	Name    string        `json:"name"`
	Waiting int           `json:"waiting"` // not begun yet
	Running int           `json:"running"` // begun and not ended, whatever they do
	Oldest  time.Duration `json:"oldest"`  // how long the first of those that wait has waited
	Owned   bool          `json:"owned"`   // this process enforces the limits
	Limits  QueueConfig   `json:"limits"`  // as this process declares them
}

// Queues describes the queues of this engine, in the order of [Config.Queues].
func (e *Engine) Queues(ctx context.Context) ([]QueueStatus, error) {
	store, ok := e.store.(QueueStore)
	if !ok || len(e.queues) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(e.queues))
	for _, q := range e.cfg.Queues {
		names = append(names, q.name)
	}
	stats, err := store.QueueStats(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("saga: queues: %w", err)
	}
	owned := map[string]bool{}
	if w := e.current(); w != nil {
		for _, l := range w.queueLanes() {
			owned[strings.TrimPrefix(l.Kind, "queue/")] = true
		}
	}
	out := make([]QueueStatus, 0, len(names))
	for _, q := range e.cfg.Queues {
		s := QueueStatus{Name: q.name, Limits: q.cfg, Owned: owned[q.name]}
		for _, st := range stats {
			if st.Queue == q.name {
				s.Waiting, s.Running, s.Oldest = st.Waiting, st.Running, st.Oldest
			}
		}
		out = append(out, s)
	}
	return out, nil
}
