package data

import (
	"context"

	"github.com/marty-framework/mmf/internal/correlation"
)

// IDs tie one business action together across services: the correlation id of the whole action and the causation id of
// the message or request that led here. Either may be empty. An outbox writes them into events; a consumer restores them.
type IDs struct{ Correlation, Causation string }

// WithIDs returns a context that carries ids. Ids from outside must pass [ValidID] first.
func WithIDs(ctx context.Context, ids IDs) context.Context {
	return correlation.With(ctx, correlation.IDs(ids))
}

// IDsFrom returns the ids of ctx, zero when it has none.
func IDsFrom(ctx context.Context) IDs { return IDs(correlation.From(ctx)) }

// ValidID reports whether an id from outside may be used: 1 to 128 of [A-Za-z0-9._-], which is safe in headers, log lines
// and SQL.
func ValidID(id string) bool { return correlation.Valid(id) }
