package oidc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/security"
)

const (
	// joinWait is how long a call waits for a fetch that another call began.
	joinWait = time.Second
	// firstPause is the pause after the first failed attempt while there are no keys at all; it doubles up to Cooldown.
	firstPause = 250 * time.Millisecond
)

// keyCache holds the last good keys of one issuer and decides when to fetch again. It starts no goroutine: a fetch runs
// in the call that needed it, or in run. Safe for concurrent use.
type keyCache struct {
	fetch func(ctx context.Context) (*keySet, error)
	hook  func(ctx context.Context, r Refresh)

	refreshEvery, cooldown, maxStale, timeout time.Duration

	// background counts run's, which spare callers the fetches of ageing keys.
	background atomic.Int32

	mu       sync.Mutex
	current  *keySet
	loaded   time.Time     // when current was fetched; monotonic
	forced   time.Time     // end of the last fetch that an unknown key id caused
	failed   time.Time     // end of the last failed fetch
	failures int           // failed fetches since the last good one
	inflight chan struct{} // closed at the end of the fetch under way; nil when there is none
}

// cause is why a fetch is wanted.
type cause int

const (
	causeAge cause = iota // keys are missing or old
	causeUnknownKey
)

// get finds the key for a token. found is false for an unknown key id; the error matches security.ErrUnavailable when
// there are no keys that may be used.
func (c *keyCache) get(ctx context.Context, id string, hasID bool) (k key, found bool, err error) {
	set, age := c.snapshot()
	before := set
	usable := set != nil && age < c.maxStale
	switch {
	case !usable:
		c.refresh(ctx, causeAge, true)
		set, age = c.snapshot()
		if set == nil || age >= c.maxStale {
			return key{}, false, fmt.Errorf("oidc: the issuer's keys are not to be had: %w", security.ErrUnavailable)
		}
	case age >= c.refreshEvery && c.background.Load() == 0:
		// One caller fetches; the others go on with the keys there are.
		c.refresh(ctx, causeAge, false)
		set, _ = c.snapshot()
	}
	// Keys that were fetched within this call are as new as another fetch would make them.
	if k, found = set.find(id, hasID); found || !hasID || set != before {
		return k, found, nil
	}
	c.refresh(ctx, causeUnknownKey, true)
	set, _ = c.snapshot()
	k, found = set.find(id, hasID)
	return k, found, nil
}

// ready reports whether tokens can be verified now, and tries to load keys if not.
func (c *keyCache) ready(ctx context.Context) error {
	if set, age := c.snapshot(); set == nil || age >= c.maxStale {
		c.refresh(ctx, causeAge, true)
	}
	if set, age := c.snapshot(); set == nil || age >= c.maxStale {
		return fmt.Errorf("oidc: the issuer's keys are not to be had: %w", security.ErrUnavailable)
	}
	return nil
}

func (c *keyCache) snapshot() (*keySet, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current, time.Since(c.loaded)
}

// refresh fetches the keys if that is due, or waits for the fetch under way, at most joinWait.
func (c *keyCache) refresh(ctx context.Context, why cause, wait bool) {
	c.mu.Lock()
	if under := c.inflight; under != nil {
		c.mu.Unlock()
		if wait {
			timer := time.NewTimer(joinWait)
			defer timer.Stop()
			select {
			case <-under:
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		return
	}
	if c.waitLocked(why) > 0 {
		c.mu.Unlock()
		return
	}
	done := make(chan struct{})
	c.inflight = done
	c.mu.Unlock()
	c.load(ctx, why, done)
}

// waitLocked is how long a fetch for this cause has to wait. Unknown key ids share one cool-down, however many they are:
// whoever invents them decides nothing but the time of the one fetch.
func (c *keyCache) waitLocked(why cause) time.Duration {
	var wait time.Duration
	if c.failures > 0 {
		wait = c.pauseLocked() - time.Since(c.failed)
	}
	if why == causeUnknownKey && !c.forced.IsZero() {
		wait = max(wait, c.cooldown-time.Since(c.forced))
	}
	return wait
}

func (c *keyCache) pauseLocked() time.Duration {
	if c.current != nil {
		return c.cooldown
	}
	pause := firstPause << min(c.failures-1, 20)
	return min(pause, c.cooldown)
}

// load does the fetch. The caller's cancellation does not reach it: else a client could spend the cool-down on fetches
// that it aborts, and keep new keys out.
func (c *keyCache) load(ctx context.Context, why cause, done chan struct{}) {
	began := time.Now()
	report := Refresh{Err: errors.New("oidc: the fetch panicked")}
	var set *keySet
	defer func() {
		c.mu.Lock()
		now := time.Now()
		if report.Err == nil {
			c.current, c.loaded, c.failures = set, began, 0
		} else {
			c.failed = now
			c.failures++
		}
		if why == causeUnknownKey {
			c.forced = now
		}
		if c.current != nil {
			report.Keys = len(c.current.byID)
		}
		c.inflight = nil
		c.mu.Unlock()
		close(done)
		report.Took = now.Sub(began)
		if c.hook != nil {
			c.hook(ctx, report)
		}
	}()
	fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	set, report.Err = c.fetch(fetching)
	if report.Err == nil {
		report.Skipped = set.skipped
	}
}

// run keeps the keys fresh until ctx ends.
func (c *keyCache) run(ctx context.Context) {
	c.background.Add(1)
	defer c.background.Add(-1)
	for {
		timer := time.NewTimer(c.nextRun())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c.refresh(ctx, causeAge, true)
	}
}

// nextRun is when run fetches next: when the keys come of age, or when the pause after a failure is over. It is never
// zero, so that run cannot spin while another call's fetch is under way.
func (c *keyCache) nextRun() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures > 0 {
		return max(c.waitLocked(causeAge), time.Millisecond)
	}
	if c.current == nil {
		return time.Millisecond
	}
	return max(c.refreshEvery-time.Since(c.loaded), time.Millisecond)
}
