package ratelimit

import (
	"fmt"
	"time"

	"github.com/marty-framework/mmf/security"
)

// All arithmetic is on whole microseconds, because that is what Redis tells time in and what a Lua number holds exactly
// (up to 2^53; security.Limit bounds every term). So Go and Lua cannot round apart.

// cell is a limit in the terms of the algorithm.
type cell struct {
	interval int64 // µs between two calls at the limit's rate
	window   int64 // µs that a whole burst is worth
}

// prepare checks a call and translates its limit.
func prepare(l security.Limit, cost int) (cell, error) {
	if err := l.Validate(); err != nil {
		return cell{}, err
	}
	if cost < 0 || cost > l.EffectiveBurst() {
		return cell{}, fmt.Errorf("ratelimit: a cost of %d can never be allowed by limit %s, whose burst is %d",
			cost, l, l.EffectiveBurst())
	}
	interval := l.Interval().Microseconds()
	return cell{interval: interval, window: interval * int64(l.EffectiveBurst())}, nil
}

// advance is the algorithm. tat is the key's theoretical arrival time, 0 or anything in the past for a fresh key; ahead is
// how far the key's new one lies before now, and store tells whether that has to be kept. script.lua is the same in Lua.
func (c cell) advance(now, tat, cost int64) (allowed, store bool, ahead int64) {
	ahead = max(tat-now, 0)
	// Beyond a window is only possible when the limit was lowered or the clock went back: wait a window, not more. That
	// has to be kept even if the call is refused, or the key would be found as far ahead the next time.
	cut := ahead > c.window
	ahead = min(ahead, c.window)
	next := ahead + cost*c.interval
	if next > c.window {
		return false, cut, ahead
	}
	return true, cost > 0, next
}

// result puts an outcome in the caller's terms. A cost of 0 only looks: Allowed then tells of one more call.
func (c cell) result(allowed bool, ahead, cost int64) security.LimitResult {
	remaining := (c.window - ahead) / c.interval
	if cost == 0 {
		allowed, cost = remaining > 0, 1
	}
	r := security.LimitResult{
		Allowed:    allowed,
		Limit:      int(c.window / c.interval),
		Remaining:  int(remaining),
		ResetAfter: time.Duration(ahead) * time.Microsecond,
	}
	if !allowed {
		r.RetryAfter = time.Duration(ahead+cost*c.interval-c.window) * time.Microsecond
	}
	return r
}
