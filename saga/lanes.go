package saga

import (
	"math/rand/v2"
	"slices"
)

// ownedLane is a lane this worker may write for.
type ownedLane struct {
	Lane
	closing  bool // takes nothing new and is released when it is at rest
	starting int  // sagas being created in it
}

// handOver closes lanes that other nodes should have and releases those that have come to rest.
func (w *worker) handOver(surplus int) error {
	w.mu.Lock()
	ids := w.laneIDsLocked()
	for _, id := range ids {
		if w.lanes[id].closing {
			surplus--
		}
	}
	for _, id := range ids {
		if surplus <= 0 {
			break
		}
		if l := w.lanes[id]; !l.closing {
			l.closing = true
			surplus--
		}
	}
	var busy []*activation
	for _, a := range w.acts {
		if l := w.lanes[a.lane]; l != nil && l.closing {
			busy = append(busy, a)
		}
	}
	w.mu.Unlock()
	for _, a := range busy {
		a.post(event{kind: evWake}) // it sees that its lane closes, pauses and leaves
	}
	return w.releaseClosed()
}

// releaseClosed gives back the closing lanes that nothing in this process works for any more.
func (w *worker) releaseClosed() error {
	w.mu.Lock()
	inUse := map[int64]bool{}
	for _, a := range w.acts {
		inUse[a.lane] = true
	}
	var free []int64
	for id, l := range w.lanes {
		if l.closing && !inUse[id] && l.starting == 0 {
			free = append(free, id)
			delete(w.lanes, id)
		}
	}
	w.mu.Unlock()
	if len(free) == 0 {
		return nil
	}
	return w.e.store.Release(w.ctx, w.lease, free)
}

func (w *worker) disown(lanes []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range lanes {
		delete(w.lanes, id)
	}
}

// open reports whether this worker owns the lane and goes on working for it.
func (w *worker) open(lane int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[lane]
	return l != nil && !l.closing
}

func (w *worker) laneIDsLocked() []int64 {
	ids := make([]int64, 0, len(w.lanes))
	for id := range w.lanes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// openLanes lists the lanes whose mail and timers this worker takes.
func (w *worker) openLanes() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(w.laneIDsLocked(), func(id int64) bool { return w.lanes[id].closing })
}

// laneFor picks one of the node's lanes for a new saga of a kind and keeps it from being released until the returned
// func is called.
func (w *worker) laneFor(kind string) (Lane, func(), bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.draining {
		return Lane{}, nil, false
	}
	var mine []*ownedLane
	for _, id := range w.laneIDsLocked() {
		if l := w.lanes[id]; l.Kind == kind && !l.closing {
			mine = append(mine, l)
		}
	}
	if len(mine) == 0 {
		return Lane{}, nil, false
	}
	l := mine[rand.IntN(len(mine))]
	l.starting++
	return l.Lane, func() {
		w.mu.Lock()
		l.starting--
		w.mu.Unlock()
	}, true
}
