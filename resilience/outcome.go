package resilience

import (
	"errors"
	"fmt"
)

// Outcome is what an attempt's error means. A Classify function returns one of the first four; the others are a policy's own.
type Outcome int

// The outcomes.
const (
	// OutcomeFailure: the dependency is not well. The breaker counts it, an idempotent call is repeated, a fallback
	// applies. An unknown value means this too.
	OutcomeFailure Outcome = iota
	// OutcomeSuccess: the dependency did its work.
	OutcomeSuccess
	// OutcomePermanent: the dependency works and said no. A success for the breaker; not repeated; no fallback.
	OutcomePermanent
	// OutcomeIgnored: nothing was learnt about the dependency, as when the caller gave up. Not counted, not repeated, no fallback.
	OutcomeIgnored
	// OutcomeTimeout is a failure by the policy's timeout.
	OutcomeTimeout
	// OutcomeOpen: the breaker refused the call.
	OutcomeOpen
	// OutcomeRejected: the bulkhead refused the call.
	OutcomeRejected
)

// String names the outcome for logs and metric labels.
func (o Outcome) String() string {
	names := [...]string{"failure", "success", "permanent", "ignored", "timeout", "open", "rejected"}
	if o < 0 || int(o) >= len(names) {
		return fmt.Sprintf("outcome(%d)", int(o))
	}
	return names[o]
}

// DefaultClassify takes nil for a success, an error marked with [Permanent] for permanent, and any other error for a failure. It is
// exported so that a Classify function can decide the cases it knows and leave the rest.
func DefaultClassify(err error) Outcome {
	var permanent *permanentError
	switch {
	case err == nil:
		return OutcomeSuccess
	case errors.As(err, &permanent):
		return OutcomePermanent
	default:
		return OutcomeFailure
	}
}

// failed reports whether the outcome counts against the dependency and may be repeated.
func (o Outcome) failed() bool {
	switch o {
	case OutcomeSuccess, OutcomePermanent, OutcomeIgnored, OutcomeOpen, OutcomeRejected:
		return false
	default:
		return true
	}
}

// degrades reports whether a fallback applies.
func (o Outcome) degrades() bool { return o.failed() || o == OutcomeOpen || o == OutcomeRejected }
