package sagatest

import (
	"context"
	"database/sql"
	"sync/atomic"
	"testing"

	"github.com/marty-framework/mmf/data"
)

// Trips counts the round trips to a database: wrap the data.DB that a store and the steps use with [CountTrips].
type Trips struct {
	data.DB
	n *atomic.Int64
}

// CountTrips wraps a database. Each statement is one trip; a transaction costs one more for its beginning and one for its end. What a
// driver sends together with something else counts all the same, so that the count is an upper bound.
func CountTrips(db data.DB) Trips { return Trips{db, new(atomic.Int64)} }

// Count is the number of trips so far.
func (d Trips) Count() int64 { return d.n.Load() }

// MaxRoundTrips fails the test if do costs more than n round trips. Let nothing else use the database meanwhile: a running engine
// beats and looks for work now and then, so give it a long TTL and Poll.
func (d Trips) MaxRoundTrips(t testing.TB, n int64, do func()) {
	t.Helper()
	before := d.Count()
	do()
	if cost := d.Count() - before; cost > n {
		t.Errorf("sagatest: it cost %d round trips, at most %d are allowed", cost, n)
	}
}

// SQLDB passes on what migrations need; they are not counted. It is nil when the database has none.
func (d Trips) SQLDB() *sql.DB {
	if s, ok := d.DB.(interface{ SQLDB() *sql.DB }); ok {
		return s.SQLDB()
	}
	return nil
}

// Exec counts one trip.
func (d Trips) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	d.n.Add(1)
	return d.DB.Exec(ctx, sql, args...)
}

// Query counts one trip.
func (d Trips) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	d.n.Add(1)
	return d.DB.Query(ctx, sql, args...)
}

// QueryRow counts one trip.
func (d Trips) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	d.n.Add(1)
	return d.DB.QueryRow(ctx, sql, args...)
}

// InTx counts the beginning, the statements and the end.
func (d Trips) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	d.n.Add(2)
	return d.DB.InTx(ctx, func(ctx context.Context, tx data.Tx) error { return fn(ctx, tripTx{tx, d.n}) })
}

type tripTx struct {
	data.Tx
	n *atomic.Int64
}

func (t tripTx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	t.n.Add(1)
	return t.Tx.Exec(ctx, sql, args...)
}

func (t tripTx) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	t.n.Add(1)
	return t.Tx.Query(ctx, sql, args...)
}

func (t tripTx) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	t.n.Add(1)
	return t.Tx.QueryRow(ctx, sql, args...)
}
