package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/marty-framework/mmf/data"
)

// ErrDuplicate is what a handler returns, alone or wrapped, for a record whose effect an earlier delivery had. The record counts as
// handled, with its own outcome in [Hooks.Handled].
var ErrDuplicate = errors.New("kafka: duplicate: an earlier delivery had the effect")

// Permanent marks a handler's error as one that no repetition changes: the record goes to the dead-letter topic at once.
// Permanent(nil) is nil. Packages that do not import this one say the same by an error with a method Permanent() bool.
func Permanent(err error) error { return mark(err, classPermanent) }

// Transient marks a handler's error as the world's fault, such as a dependency that is down: the record is retried
// without counting the attempt, for as long as it takes, and never reaches the dead-letter topic for it. Unmarked errors of an
// unavailable or full database (see [data.KindOf]) are transient by themselves. Transient(nil) is nil.
func Transient(err error) error { return mark(err, classTransient) }

// class says what the consumer does with a failed attempt. Its text is the dead-letter header's error class.
type class string

const (
	classFailed      class = "failed" // retried, counted
	classPermanent   class = "permanent"
	classTransient   class = "transient"
	classPanic       class = "panic" // retried, counted
	classUndecodable class = "undecodable"
)

type markedError struct {
	class class
	err   error
}

func (e *markedError) Error() string { return e.err.Error() }
func (e *markedError) Unwrap() error { return e.err }

func mark(err error, c class) error {
	if err == nil {
		return nil
	}
	return &markedError{class: c, err: err}
}

// classify decides by the outermost mark, since it was set by whoever knew most.
func classify(err error) class {
	var (
		m         *markedError
		p         *PanicError
		permanent interface{ Permanent() bool }
	)
	switch {
	case errors.As(err, &m):
		return m.class
	case errors.As(err, &p):
		return classPanic
	case errors.As(err, &permanent) && permanent.Permanent():
		return classPermanent
	}
	switch data.KindOf(err) {
	case data.KindUnavailable, data.KindFull:
		return classTransient
	default:
		return classFailed
	}
}

// PanicError is a handler's panic, contained.
type PanicError struct {
	Value any
	Stack []byte
}

// Error tells the panic's value and where it happened.
func (e *PanicError) Error() string {
	return fmt.Sprintf("kafka: handler panicked: %v\n%s", e.Value, e.Stack)
}

// Unwrap gives the panic's value when that is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// SkippedError is the answer for a message that was not sent because an earlier message of its key failed.
type SkippedError struct{ Cause error }

// Error tells why the message was held back.
func (e *SkippedError) Error() string {
	return fmt.Sprintf("kafka: not sent, to keep the key's order: an earlier message failed: %v", e.Cause)
}

// refusedForGood reports whether the brokers' answer blames the message itself, so that sending it again gives the same answer: it
// is too large, malformed, or its topic's name is invalid. A missing topic or permission is not: people repair those.
func refusedForGood(err error) bool {
	for _, permanent := range []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidTopicException, kerr.InvalidRecord,
		kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat,
	} {
		if errors.Is(err, permanent) {
			return true
		}
	}
	return false
}
