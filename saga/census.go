package saga

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Census counts the live sagas of one definition, all its versions, in the lanes that this process owns: the sum over all
// processes is the cluster's.
type Census struct {
	Saga         string // the definition's name
	Running      int    // under way
	Compensating int
	Waiting      int       // for a signal, for time, for the next try
	Parked       int       // for somebody's help
	Oldest       time.Time // when the oldest that runs or compensates was started; zero: there is none
}

// Census counts what this process works for, with an entry for every definition. It reads the index of the sagas that
// sleep, which takes a third of a second for a million of them on a busy machine, so ask for it seldom.
func (e *Engine) Census(ctx context.Context) ([]Census, error) {
	at := map[string]int{}
	var out []Census
	for _, i := range e.infos {
		name := nameOf(i.Kind)
		if _, known := at[name]; !known {
			at[name] = len(out)
			out = append(out, Census{Saga: name})
		}
	}
	w := e.current()
	if w == nil {
		return out, nil
	}
	kinds := w.countAwake(func(kind string, s condition, born time.Time) {
		c := &out[at[nameOf(kind)]]
		switch s {
		case runs:
			c.Running++
		case compensates:
			c.Compensating++
		default:
			return
		}
		if c.Oldest.IsZero() || born.Before(c.Oldest) {
			c.Oldest = born
		}
	})
	lanes := make([]int64, 0, len(kinds))
	for id := range kinds {
		lanes = append(lanes, id)
	}
	if len(lanes) == 0 {
		return out, nil
	}
	asleep, err := e.store.Asleep(ctx, lanes)
	if err != nil {
		return nil, fmt.Errorf("saga: census: %w", err)
	}
	for lane, n := range asleep {
		c := &out[at[nameOf(kinds[lane])]]
		c.Waiting += n.Waiting
		c.Parked += n.Parked
	}
	return out, nil
}

// countAwake goes through the sagas in memory and returns the lanes with their kinds.
func (w *worker) countAwake(count func(kind string, s condition, born time.Time)) map[int64]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	kinds := make(map[int64]string, len(w.lanes))
	for id, l := range w.lanes {
		kinds[id] = l.Kind
	}
	for uid, a := range w.acts {
		if kind, ours := kinds[a.lane]; ours {
			count(kind, condition(a.state.Load()), uid.born())
		}
	}
	return kinds
}

// condition is what others may know of a saga in memory without asking it.
type condition int32

const (
	unclear condition = iota
	runs
	compensates
	sleeps // a timer stands in the store, where it is counted
)

// published is the part of an activation that others read.
type published struct{ state atomic.Int32 }

// publish tells others how the saga is.
func (a *activation) publish() {
	s := runs
	switch {
	case a.m == nil:
		return
	case a.asleep:
		s = sleeps
	case a.m.dir == backward:
		s = compensates
	}
	a.state.Store(int32(s))
}
