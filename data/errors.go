package data

import (
	"errors"
	"fmt"
)

// Sentinels for the outcomes that callers branch on.
var (
	// ErrNoRows is what [Row.Scan] returns when a query found nothing.
	ErrNoRows = errors.New("data: no rows")
	// ErrOutcomeUnknown says that a commit was sent and its reply was lost: the work may have been committed. Read back
	// what was written, or repeat the work under the same keys; never treat it as a failure.
	ErrOutcomeUnknown = errors.New("data: the commit's reply was lost; the work may or may not have been committed")
	// ErrNestedTx is returned when a [DB] is used with the context of its own open transaction: use the [Tx] there.
	ErrNestedTx = errors.New("data: the database is used inside its own transaction: use the Tx that the function was given")
)

// Kind classifies a database error by what a caller can do about it.
type Kind int

// The kinds, from the point of view of whoever ran the statement.
const (
	// KindOther is an error of the statement itself, such as a syntax error: repeating it changes nothing.
	KindOther Kind = iota
	// KindConflict is a serialization failure or a deadlock: run the whole transaction again.
	KindConflict
	// KindUnique is a violated unique or primary key.
	KindUnique
	// KindConstraint is another violated constraint: foreign key, check, not null.
	KindConstraint
	// KindTimeout is a lock or statement timeout: back off, then run the transaction again.
	KindTimeout
	// KindUnavailable is a lost or refused connection, a shutdown, a server that is read-only or has no room for another
	// connection: nothing of the transaction was committed; reconnect and run it again.
	KindUnavailable
	// KindFull is a full disk: page somebody.
	KindFull
	// KindUnknown is a lost commit reply; the error matches [ErrOutcomeUnknown].
	KindUnknown
)

// String names the kind for logs and metric labels.
func (k Kind) String() string {
	names := [...]string{"other", "conflict", "unique", "constraint", "timeout", "unavailable", "full", "unknown"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return names[k]
}

// Error is a classified database error. Drivers return it; [errors.As] finds the driver's own error below it.
type Error struct {
	Kind Kind
	// Code is the engine's own code: an SQLSTATE on Postgres, a result code's name on SQLite.
	Code string
	// Constraint names the violated constraint where the engine tells (Postgres).
	Constraint string
	Err        error
}

// Error tells the kind and the engine's own message.
func (e *Error) Error() string { return fmt.Sprintf("data: %s (%s): %v", e.Kind, e.Code, e.Err) }

// Unwrap gives the driver's error.
func (e *Error) Unwrap() error { return e.Err }

// Is makes an unknown outcome match [ErrOutcomeUnknown].
func (e *Error) Is(target error) bool { return target == ErrOutcomeUnknown && e.Kind == KindUnknown }

// KindOf returns the kind of the classified error in err's chain, or [KindOther].
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, ErrOutcomeUnknown) {
		return KindUnknown
	}
	return KindOther
}

// Retryable reports whether running the whole transaction again may succeed: a conflict, a timeout or an unavailable
// server. An unknown outcome is not retryable without keys that make the repetition harmless.
func Retryable(err error) bool {
	switch KindOf(err) {
	case KindConflict, KindTimeout, KindUnavailable:
		return true
	default:
		return false
	}
}
