package saga

import (
	"errors"
	"fmt"
)

// Sentinels that callers branch on.
var (
	// ErrConflict says that the id was used before, with another input or by another definition.
	ErrConflict = errors.New("saga: this id was already used for another saga")
	// ErrNotFound says that no saga was started under the id.
	ErrNotFound = errors.New("saga: there is no saga with this id")
	// ErrFinished says that the saga has ended, so nothing can be sent to it or changed.
	ErrFinished = errors.New("saga: the saga has already ended")
	// ErrPastPivot says that the saga passed its point of no return (or may have), so it can no longer be cancelled.
	ErrPastPivot = errors.New("saga: the saga is past its point of no return and only goes forward")
	// ErrFenced says that another node took over this node's work; nothing was written.
	ErrFenced = errors.New("saga: this node lost its lease; another node works for its sagas")
	// ErrStale says that the journal already holds another record under the same number: what the writer knew was out of
	// date. Stores return it; the engine reads the journal again.
	ErrStale = errors.New("saga: the journal went on without this writer")
	// ErrNotRegistered says that the engine was built without this definition.
	ErrNotRegistered = errors.New("saga: the definition is not registered with this engine; pass it to New")
	// ErrShapeChanged says that a definition has another shape than the one recorded under its name and version.
	ErrShapeChanged = errors.New("saga: the definition's shape changed without a new version")
	// ErrUnreadable says that a saga's journal does not decode or does not fit its definition. Nothing can be done for the saga
	// until a version of the program runs that can read it.
	ErrUnreadable = errors.New("saga: the journal cannot be read by this program")
	// ErrUnknownStep says that the saga's definition has no step of that name.
	ErrUnknownStep = errors.New("saga: there is no such step")
	// ErrNotApplicable says that the saga, or the step, is not in a state in which a verb can be applied.
	ErrNotApplicable = errors.New("saga: the verb does not apply now")
	// ErrPending says that a verb is durable and was not taken in yet.
	ErrPending = errors.New("saga: the verb was not taken in yet")
	// ErrForked says that the effects of a saga were taken over by a fork of it already.
	ErrForked = errors.New("saga: a fork took this saga's effects over; fork that one")
	// ErrInvalidSearch says that a filter names no state there is, or that a cursor is of another search.
	ErrInvalidSearch = errors.New("saga: invalid search")
	// ErrInvalidID says that an ID or another name is empty, too long, no UTF-8, or contains NUL.
	ErrInvalidID = errors.New("saga: invalid ID")
	// ErrTooLarge says that an input, a result or a signal is larger than the engine takes.
	ErrTooLarge = errors.New("saga: payload too large")
)

var (
	errNoCodec     = errors.New("saga: something is sensitive: set Config.Codec, such as a sagacodec.Ring")
	errNoPublisher = errors.New("saga: the definition publishes events, but Config.Publish is not set")
	// errInterrupted ends a step's context when the saga turned back; the step's outcome then is unknown.
	errInterrupted = errors.New("saga: the saga turned back while the step was running")
	errNotCarried  = errors.New("saga: Config.Around returned no error without carrying the attempt out")
	errDraining    = errors.New("saga: the engine is stopping")
)

// RejectError is a business refusal: the step had no effect and must not be retried.
type RejectError struct{ Reason string }

// Error returns the reason.
func (e *RejectError) Error() string { return "saga: rejected: " + e.Reason }

// Reject makes the error with which a step refuses: no effect happened, do not retry, compensate what came before. After an
// attempt that failed, a refusal says nothing of that one's request, which may be late; the step is then compensated too.
func Reject(format string, args ...any) error { return &RejectError{fmt.Sprintf(format, args...)} }

// CompensatedError is the outcome of a saga that was taken back.
type CompensatedError struct {
	ID     ID
	Step   string // the step that failed; empty when the saga was cancelled
	Reason string
}

// Error says which step failed and why.
func (e *CompensatedError) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("saga: %s was compensated: %s", e.ID, e.Reason)
	}
	return fmt.Sprintf("saga: %s was compensated: step %q: %s", e.ID, e.Step, e.Reason)
}

// ParkedError says that a saga cannot go on by itself: somebody has to look at it and retry or terminate it.
type ParkedError struct {
	ID     ID
	Step   string
	Reason string
}

// Error says where the saga is stuck and what to do.
func (e *ParkedError) Error() string {
	return fmt.Sprintf("saga: %s is parked at step %q: %s; mend the cause, then retry it", e.ID, e.Step, e.Reason)
}

// TerminatedError is the outcome of a saga that an operator stopped without compensation.
type TerminatedError struct {
	ID     ID
	Actor  string
	Reason string
}

// Error says who stopped the saga and why.
func (e *TerminatedError) Error() string {
	return fmt.Sprintf("saga: %s was terminated by %s: %s", e.ID, e.Actor, e.Reason)
}
