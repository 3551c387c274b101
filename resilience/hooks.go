package resilience

import (
	"context"
	"time"
)

// Hooks receive what happens in a policy. All are optional, run in the calling goroutine with no lock held, must be safe for
// concurrent use, and should return quickly.
type Hooks struct {
	// StateChange is called for each transition of the breaker, in order.
	StateChange func(StateChange)
	// Retry is called before the wait for each repetition.
	Retry func(context.Context, RetryEvent)
	// Rejection is called when a call or a repetition is refused.
	Rejection func(context.Context, RejectionEvent)
	// Fallback is called after a fallback ran.
	Fallback func(context.Context, FallbackEvent)
	// Call is called once for each call when all its attempts are over, before a fallback. It is not called when the
	// function panics.
	Call func(context.Context, CallEvent)
}

// Join returns hooks that call those of h, then those of more.
func (h Hooks) Join(more Hooks) Hooks {
	return Hooks{
		StateChange: join1(h.StateChange, more.StateChange),
		Retry:       join2(h.Retry, more.Retry),
		Rejection:   join2(h.Rejection, more.Rejection),
		Fallback:    join2(h.Fallback, more.Fallback),
		Call:        join2(h.Call, more.Call),
	}
}

func join1[A any](f, g func(A)) func(A) {
	if f == nil || g == nil {
		return either(f == nil, g, f)
	}
	return func(a A) { f(a); g(a) }
}

func join2[A, B any](f, g func(A, B)) func(A, B) {
	if f == nil || g == nil {
		return either(f == nil, g, f)
	}
	return func(a A, b B) { f(a, b); g(a, b) }
}

func either[F any](first bool, a, b F) F {
	if first {
		return a
	}
	return b
}

// orElse fills the hooks that h lacks from old.
func (h Hooks) orElse(old Hooks) Hooks {
	return Hooks{
		StateChange: either(h.StateChange == nil, old.StateChange, h.StateChange),
		Retry:       either(h.Retry == nil, old.Retry, h.Retry),
		Rejection:   either(h.Rejection == nil, old.Rejection, h.Rejection),
		Fallback:    either(h.Fallback == nil, old.Fallback, h.Fallback),
		Call:        either(h.Call == nil, old.Call, h.Call),
	}
}

// StateChange is a transition of a breaker.
type StateChange struct {
	Policy   string
	From, To BreakerState
	// Forced says that the results of calls are not the reason: somebody ordered the state, the order ended, or new settings began.
	Forced bool
	At     time.Time
}

// RetryEvent is a repetition that is about to wait.
type RetryEvent struct {
	Policy string
	// Attempt is the number of the attempt that failed, from 1.
	Attempt int
	Delay   time.Duration
	Err     error
}

// Reason says why something was refused.
type Reason string

// The reasons.
const (
	// ReasonOpen: the breaker is open.
	ReasonOpen Reason = "open"
	// ReasonBulkhead: the bulkhead is full.
	ReasonBulkhead Reason = "bulkhead"
	// ReasonBudget: the retry budget is used up; the call ended with its last error.
	ReasonBudget Reason = "budget"
)

// RejectionEvent is a refused call or repetition.
type RejectionEvent struct {
	Policy string
	Reason Reason
}

// FallbackEvent is a fallback that ran.
type FallbackEvent struct {
	Policy string
	// Cause is the error that led here.
	Cause error
	// Err is the fallback's own error, nil when it helped.
	Err error
}

// CallEvent is a finished call.
type CallEvent struct {
	Policy  string
	Outcome Outcome
	// Attempts is how often the function ran; 0 when it was refused at once.
	Attempts int
	Duration time.Duration
	Err      error
}
