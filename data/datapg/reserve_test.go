package datapg_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
)

func TestReservedConnectionsAreApartFromThePool(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{MaxConns: 2})
	_, err := db.Reserve(0, nil)
	require.ErrorContains(t, err, "at least 1")
	apart, err := db.Reserve(1, map[string]string{"statement_timeout": "7s"})
	require.NoError(t, err)
	require.NoError(t, db.InTx(t.Context(), func(context.Context, data.Tx) error {
		return db.InTx(t.Context(), func(context.Context, data.Tx) error { // the pool is empty now
			var value string
			require.NoError(t, apart.QueryRow(t.Context(), "show statement_timeout").Scan(&value))
			require.Equal(t, "7s", value)
			return nil
		})
	}))
	var value string
	require.NoError(t, db.QueryRow(t.Context(), "show statement_timeout").Scan(&value))
	require.Equal(t, "0", value, "the pool's own sessions keep theirs")
	require.NoError(t, db.Close())
	require.Error(t, apart.Ping(t.Context()), "closed with the database")
	_, err = db.Reserve(1, nil)
	require.ErrorContains(t, err, "closed")
}

func TestListenHearsAndTellsWhenItIsDeaf(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	listen := func(ctx context.Context) (heard chan string, ended chan error) {
		heard, ended = make(chan string, 10), make(chan error, 1)
		ready := make(chan struct{})
		go func() { ended <- db.Listen(ctx, `odd "name"`, func() { close(ready) }, func(p string) { heard <- p }) }()
		<-ready
		return heard, ended
	}
	say := func(payload string) {
		_, err := db.Exec(t.Context(), "select pg_notify($1, $2)", `odd "name"`, payload)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := listen(ctx)
	say("one")
	require.Equal(t, "one", <-heard)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)

	heard, ended = listen(t.Context())
	say("two")
	require.Equal(t, "two", <-heard, "one was said before")
	_, err := db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %' and datname = current_database()`)
	require.NoError(t, err)
	select {
	case err := <-ended:
		require.Equal(t, data.KindUnavailable, data.KindOf(err), "%v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("it still listens to a session that is gone")
	}
}
