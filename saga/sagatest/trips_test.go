package sagatest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// What a saga costs is counted where it is paid: in front of the database.
func TestRoundTripsAreCounted(t *testing.T) {
	t.Parallel()
	trips := sagatest.CountTrips(datatest.SQLite(t))
	ctx := t.Context()
	_, err := trips.Exec(ctx, `create table x (n integer)`)
	require.NoError(t, err)
	require.NoError(t, trips.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, `insert into x (n) values (1)`)
		return err
	}))
	var n int
	require.NoError(t, trips.QueryRow(ctx, `select n from x`).Scan(&n))
	require.EqualValues(t, 1+3+1, trips.Count())

	store, err := sagasqlite.New(ctx, trips)
	require.NoError(t, err)
	step := func(name string) saga.Node[order] {
		return saga.Step(name, func(saga.Ctx, order) (saga.None, error) { return saga.None{}, nil })
	}
	def := saga.Define("three", 1, step("a"), step("b"), step("c"))
	engine, err := saga.New(saga.Config{TTL: time.Hour, Poll: time.Hour}, store, def)
	require.NoError(t, err)
	running, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- engine.Run(running) }()
	defer func() {
		stop()
		require.NoError(t, <-stopped)
	}()
	require.Eventually(t, engine.Running, time.Minute, time.Millisecond)
	one := func(id saga.ID) {
		run, err := def.Start(ctx, engine, id, order{})
		require.NoError(t, err)
		_, err = run.Result(ctx)
		require.NoError(t, err)
	}
	one("warm")
	trips.MaxRoundTrips(t, 60, func() { one("counted") })

	strict := &failures{TB: t}
	trips.MaxRoundTrips(strict, 1, func() { one("dear") })
	require.Equal(t, 1, strict.n, "a budget that is exceeded fails the test")
}

// failures is a test whose failures are counted.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Errorf(string, ...any) { f.n++ }
