package ratelimit

import (
	"sync"
	"time"
)

const (
	tripAfter  = 3
	firstPause = time.Second
	maxPause   = 5 * time.Second
)

// breaker spares calls a store that does not answer: after tripAfter failures in a row no call asks it for a pause, then
// one call at a time probes. The pause doubles from one to five seconds while probes fail. It is small and own, because
// a leaf of security does not import resilience.
type breaker struct {
	mu         sync.Mutex
	generation int // grows with every change of state; results of calls from before a change are ignored
	failures   int
	pause      time.Duration // 0 while closed
	until      time.Time     // end of the pause
	probing    bool
}

// ticket is the right to ask the store once.
type ticket struct {
	generation int
	probe      bool
}

// enter gives a ticket, or tells for how long the store is left alone.
func (b *breaker) enter() (t ticket, wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pause == 0 {
		return ticket{generation: b.generation}, 0, true
	}
	if wait := time.Until(b.until); wait > 0 {
		return ticket{}, wait, false
	}
	if b.probing {
		return ticket{}, firstPause, false
	}
	b.probing = true
	return ticket{generation: b.generation, probe: true}, 0, true
}

// outcome of a call that had a ticket.
type outcome int

const (
	answered outcome = iota
	failed
	abandoned // the caller gave up, which says nothing about the store
)

// leave reports a call's outcome. changed tells that the store is from now on asked again, or no longer asked.
func (b *breaker) leave(t ticket, o outcome) (up, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.generation != b.generation {
		return b.pause == 0, false
	}
	if t.probe {
		b.probing = false
	}
	switch {
	case o == abandoned:
	case o == answered:
		b.failures = 0
		if t.probe {
			b.pause, changed = 0, true
			b.generation++
		}
	case t.probe:
		b.pause = min(2*b.pause, maxPause)
		b.until = time.Now().Add(b.pause)
		b.generation++
	default:
		if b.failures++; b.failures >= tripAfter {
			b.failures, b.pause, changed = 0, firstPause, true
			b.until = time.Now().Add(b.pause)
			b.generation++
		}
	}
	return b.pause == 0, changed
}
