package saga

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// ownedLane is a lane this worker may write for.
type ownedLane struct {
	Lane
	recovering   bool // not all of its sagas have been looked for yet
	closing      bool // takes nothing new and is released when it is at rest
	closingSince time.Time
}

// adopt claims lanes and returns those that this worker did not know as its own: claimed now, or by a claim whose reply
// was lost.
func (w *worker) adopt() (fresh []int64, surplus map[string]int, err error) {
	w.lanesMu.Lock()
	defer w.lanesMu.Unlock()
	// On a machine that is short of time a claim that has to end a zombie's sessions first must not be cut off before it has.
	ctx, cancel := context.WithTimeout(w.ctx, max(w.e.cfg.TTL/2, 5*time.Second))
	defer cancel()
	owned, surplus, err := w.e.store.Claim(ctx, w.lease)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range owned {
		if w.lanes[l.ID] == nil {
			w.lanes[l.ID] = &ownedLane{Lane: l, recovering: true}
			fresh = append(fresh, l.ID)
		}
	}
	if len(fresh) > 0 {
		w.claims.Add(1)
	}
	return fresh, surplus, nil
}

// handOver closes lanes that other nodes should have and releases those that have come to rest.
func (w *worker) handOver(surplus map[string]int) error {
	w.mu.Lock()
	ids := w.laneIDsLocked()
	for _, id := range ids {
		if l := w.lanes[id]; l.closing {
			surplus[l.Kind]--
		}
	}
	for _, id := range ids {
		if l := w.lanes[id]; !l.closing && surplus[l.Kind] > 0 {
			l.closing, l.closingSince = true, time.Now()
			surplus[l.Kind]--
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
	w.lanesMu.Lock()
	defer w.lanesMu.Unlock()
	w.mu.Lock()
	inUse := map[int64]bool{}
	for _, a := range w.acts {
		inUse[a.lane] = true
	}
	var free []int64
	for id, l := range w.lanes {
		if l.closing && !inUse[id] && !l.recovering {
			free = append(free, id)
		}
	}
	w.mu.Unlock()
	if len(free) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.e.cfg.TTL/2)
	defer cancel()
	if err := w.e.store.Release(ctx, w.lease, free); err != nil {
		return err // they stay closing and are released at the next try
	}
	w.e.calls.say(wordClaim)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range free {
		delete(w.lanes, id)
	}
	return nil
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

// overdue reports whether other nodes have waited for the lane longer than the grace for running attempts.
func (w *worker) overdue(lane int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[lane]
	return l != nil && l.closing && time.Since(l.closingSince) > w.e.cfg.Grace
}

// openLanes lists the lanes whose mail and timers this worker takes.
func (w *worker) openLanes() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(w.laneIDsLocked(), func(id int64) bool { return w.lanes[id].closing })
}

// laneFor picks one of the node's lanes for a new saga of a kind.
func (w *worker) laneFor(kind string) (Lane, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var room [64]Lane // enough for most, without a heap
	mine := room[:0]
	for _, l := range w.lanes {
		if l.Kind == kind && !l.closing {
			mine = append(mine, l.Lane)
		}
	}
	if w.draining || len(mine) == 0 {
		return Lane{}, false
	}
	return mine[rand.IntN(len(mine))], true
}

// closesLanes reports whether lanes are to be released as soon as they come to rest.
func (w *worker) closesLanes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.lanes {
		if l.closing {
			return true
		}
	}
	return false
}
