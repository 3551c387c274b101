package faulttest_test

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/internal/pgproxy"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// rig is a database with a proxy before it, participants, and a way to the database past all faults.
type rig struct {
	t       *testing.T
	proxy   *pgproxy.Proxy // nil on SQLite
	through string         // what workers connect to
	store   saga.Store
	db      data.DB
	ledger  *ledger
	workers int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return rigOn(t, datatest.PostgresDSN(t))
}

// rigOn puts the proxy in front of the database of the given DSN.
func rigOn(t *testing.T, dsn string) *rig {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	proxy, err := pgproxy.Start(u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	u.Host = proxy.Addr()
	db, err := datapg.Open(t.Context(), datapg.Config{DSN: dsn, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	r := &rig{t: t, proxy: proxy, through: u.String(), store: store, db: db}
	r.prepare()
	return r
}

func sqliteRig(t *testing.T) *rig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saga.db")
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := sagasqlite.New(t.Context(), db)
	require.NoError(t, err)
	r := &rig{t: t, through: path, store: store, db: db}
	r.prepare()
	return r
}

func (r *rig) prepare() {
	_, err := r.db.Exec(r.t.Context(), `create table booked (saga text not null, amount bigint not null)`)
	require.NoError(r.t, err)
	r.ledger = newLedger(r.t, r.store)
}

// spec is a worker with a lease as short as can be.
func (r *rig) spec(starts ...start) spec {
	r.workers++
	return spec{
		Name: fmt.Sprint("w", r.workers), Target: r.through, Participants: r.ledger.url, TTL: time.Second, Grace: 300 * time.Millisecond,
		Starts: starts,
	}
}

func (r *rig) worker(s spec, prefix ...string) *process {
	r.t.Helper()
	return launch(r.t, s, prefix...)
}

// ready waits until a worker works.
func (r *rig) ready(p *process) {
	r.t.Helper()
	r.ledger.wait(p.name+" is ready", func(e event) bool { return e.Worker == p.name && e.Ev == "ready" })
}

// orders makes n sagas of both classes.
func orders(prefix string, n int) (out []start) {
	for i := range n {
		out = append(out, start{fmt.Sprintf("%s%03d.", prefix, i), order{N: i + 1, Class: []string{"go", "back"}[i%2]}})
	}
	return out
}

// quiet waits until no saga is live.
func (r *rig) quiet() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		live, err := r.store.List(r.t.Context(), 1)
		return err == nil && len(live) == 0
	}, 2*time.Minute, 5*time.Millisecond, "sagas do not end: %v", r.ledger.all())
}

// check fails the test with every violation.
func (r *rig) check(sagas []start) {
	r.t.Helper()
	var bad []string
	for _, s := range sagas {
		bad = append(bad, examine(context.WithoutCancel(r.t.Context()), r.store, r.db, r.ledger, s.ID, s.Class)...)
	}
	for _, e := range r.ledger.all() {
		if e.Ev == "bad" {
			bad = append(bad, fmt.Sprintf("%s: %s: %s", e.Worker, e.Saga, e.Text))
		}
	}
	require.Empty(r.t, strings.Join(bad, "\n"))
}

func (r *rig) number(query string, args ...any) (n int) {
	r.t.Helper()
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), query, args...).Scan(&n))
	return n
}
