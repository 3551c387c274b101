package resilience

import (
	"errors"
	"fmt"
	"time"
)

// What a policy itself ends a call with; the concrete error is an [*Error] that names the policy.
var (
	// ErrOpen says that the breaker is open, or half-open with all probes out: the dependency was not called.
	ErrOpen = errors.New("circuit open")
	// ErrRejected says that the bulkhead was full: the dependency was not called.
	ErrRejected = errors.New("bulkhead full")
	// ErrTimeout says that an attempt exceeded the policy's timeout. The dependency may have carried it out.
	ErrTimeout = errors.New("timeout")
	// ErrUnknownPolicy is returned by [Set.Policy] for a name that the set does not have.
	ErrUnknownPolicy = errors.New("unknown policy")
)

// Error is a refusal or a timeout by a policy. It matches its Kind, and what the function returned, with [errors.Is].
type Error struct {
	// Policy is the policy's name.
	Policy string
	// Kind is ErrOpen, ErrRejected or ErrTimeout.
	Kind error
	// Err is what the function returned after a timeout, else nil.
	Err error

	retryAfter time.Duration
}

// Error names the policy and, where known, when to come back.
func (e *Error) Error() string {
	s := fmt.Sprintf("resilience: policy %q: %v", e.Policy, e.Kind)
	if e.retryAfter > 0 {
		s += fmt.Sprintf(" (try again in %v)", e.retryAfter.Round(time.Millisecond))
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the kind and, after a timeout, the function's own error.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// RetryAfter is what is left of an open breaker's cooldown, or what the function's error asked for; 0 when nothing is
// known. Transports turn it into a Retry-After header.
func (e *Error) RetryAfter() time.Duration {
	if e.retryAfter == 0 && e.Err != nil {
		return retryAfter(e.Err)
	}
	return e.retryAfter
}

// Permanent marks err as the dependency's answer, which asking again would not change: an invalid request, a declined
// card. It counts as a success for the breaker, because the dependency works, and is not repeated. [errors.Is] and
// [errors.As] see through it. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// retryAfter finds a wait that the dependency asked for.
func retryAfter(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if errors.As(err, &hint) {
		return hint.RetryAfter()
	}
	return 0
}
