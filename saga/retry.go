package saga

import (
	"math/rand/v2"
	"time"
)

// Retry is a durable budget of attempts with exponential backoff. A crash resets neither the count nor the next time.
// The zero value is the default: 3 attempts for a step, 10 for a compensation, a pivot or a retriable step, first after
// 200 ms, doubling up to 30 s. The wait is drawn between half and all of the computed one, so that many sagas that failed
// together do not return together.
type Retry struct {
	// Max is the number of attempts in all, the first included. Zero: the default.
	Max int
	// First is the wait before the second attempt. Zero: 200 ms.
	First time.Duration
	// Cap is the longest wait. Zero: 30 s.
	Cap time.Duration
}

func (r Retry) withDefaults(attempts int) Retry {
	if r.Max == 0 {
		r.Max = attempts
	}
	if r.First == 0 {
		r.First = 200 * time.Millisecond
	}
	if r.Cap == 0 {
		r.Cap = max(30*time.Second, r.First)
	}
	return r
}

func (r Retry) problem() string {
	switch {
	case r.Max < 0:
		return "has a retry with a negative Max"
	case r.First < 0 || r.Cap < 0:
		return "has a retry with a negative wait"
	case r.First > r.Cap:
		return "has a retry whose First is longer than its Cap"
	}
	return ""
}

// wait draws the pause after the given number of failed attempts.
func (r Retry) wait(failed int) time.Duration {
	d := r.First
	for i := 1; i < failed && d < r.Cap; i++ {
		d *= 2
	}
	d = min(d, r.Cap)
	return d/2 + rand.N(d/2+1)
}
