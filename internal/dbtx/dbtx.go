// Package dbtx marks contexts that belong to an open transaction, so that a driver can refuse the use of the database
// from inside its own transaction: on SQLite it would wait for itself forever, on Postgres it would take a second
// connection while holding the first, which empties a pool under load.
package dbtx

import "context"

// key is one entry per database, so that transactions of different databases may nest.
type key struct{ db any }

// Enter returns a context that is marked as being inside a transaction of db. db is a pointer.
func Enter(ctx context.Context, db any) context.Context {
	return context.WithValue(ctx, key{db}, true)
}

// Inside reports whether ctx is inside a transaction of db.
func Inside(ctx context.Context, db any) bool { return ctx.Value(key{db}) != nil }
