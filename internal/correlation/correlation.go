// Package correlation carries the ids that tie one business action together through contexts: the correlation id of the
// whole action and the causation id of the message or request that led here. Every floor may read them, so they live
// below all packages; users reach them through data and observability.
package correlation

import (
	"context"
	"crypto/rand"
)

// Header names on HTTP and on Kafka records. HTTP matches them without regard to case.
const (
	HTTPHeader      = "X-Correlation-ID"
	Header          = "correlation-id"
	CausationHeader = "causation-id"
)

// MaxLength is the longest id that is accepted from outside.
const MaxLength = 128

// IDs are the correlation and the causation id of the work at hand; either may be empty.
type IDs struct{ Correlation, Causation string }

type key struct{}

// With returns a context that carries ids.
func With(ctx context.Context, ids IDs) context.Context { return context.WithValue(ctx, key{}, ids) }

// From returns the ids of ctx, zero when it has none.
func From(ctx context.Context) IDs {
	ids, _ := ctx.Value(key{}).(IDs)
	return ids
}

// New makes a random id.
func New() string { return rand.Text() }

// Valid reports whether an id from outside may be used: 1 to 128 of [A-Za-z0-9._-], so that it is safe in a header, a
// log line, a file name and SQL text.
func Valid(id string) bool {
	if id == "" || len(id) > MaxLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
