package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/inbox"
	"github.com/marty-framework/mmf/data/migrate"
)

// engines runs a test on every engine, with an empty inbox and a table for effects.
func engines(t *testing.T, test func(t *testing.T, db data.DB, box *inbox.Inbox)) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			require.NoError(t, migrate.Up(t.Context(), db, inbox.Migrations(), migrate.Config{Name: inbox.MigrationsName}))
			_, err := db.Exec(t.Context(), "create table effects (event text not null)")
			require.NoError(t, err)
			box, err := inbox.New(inbox.Config{})
			require.NoError(t, err)
			test(t, db, box)
		})
	}
}

func effect(event string) func(context.Context, data.Tx) error {
	return func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "insert into effects values ($1)", event)
		return err
	}
}

func count(t *testing.T, db data.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n))
	return n
}

func TestConfigListsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := inbox.New(inbox.Config{Retention: time.Second, PurgeEvery: -1})
	require.ErrorContains(t, err, "Retention")
	require.ErrorContains(t, err, "PurgeEvery")
}

func TestRepetitionsRunNothing(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		for i := range 3 {
			first, err := box.Once(t.Context(), db, "c", "e-1", effect("e-1"))
			require.NoError(t, err)
			require.Equal(t, i == 0, first)
		}
		for _, other := range [][2]string{{"c", "e-2"}, {"d", "e-1"}} {
			first, err := box.Once(t.Context(), db, other[0], other[1], effect("x"))
			require.NoError(t, err)
			require.True(t, first, "%v is another event", other)
		}
		require.Equal(t, 3, count(t, db, "effects"))
	})
}

func TestAFailedHandlerLeavesNoNote(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		boom := errors.New("boom")
		first, err := box.Once(t.Context(), db, "c", "e", func(ctx context.Context, tx data.Tx) error {
			require.NoError(t, effect("e")(ctx, tx))
			return boom
		})
		require.ErrorIs(t, err, boom)
		require.False(t, first)
		require.Panics(t, func() {
			_, _ = box.Once(t.Context(), db, "c", "e", func(context.Context, data.Tx) error { panic(boom) })
		})
		require.Zero(t, count(t, db, "effects"))
		first, err = box.Once(t.Context(), db, "c", "e", effect("e"))
		require.NoError(t, err)
		require.True(t, first)
	})
}

func TestConcurrentRepetitionsHaveOneEffect(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		const events, deliveries = 10, 6
		var firsts, failures atomic.Int32
		var wg sync.WaitGroup
		for d := range deliveries {
			wg.Go(func() {
				for e := range events {
					id := fmt.Sprint("e-", e)
					for { // a consumer delivers again what failed
						first, err := box.Once(t.Context(), db, "c", id, func(ctx context.Context, tx data.Tx) error {
							if err := effect(id)(ctx, tx); err != nil {
								return err
							}
							time.Sleep(time.Millisecond)
							if d < 2 && failures.Add(1)%3 == 0 {
								return errors.New("failed after the effect")
							}
							return nil
						})
						if first {
							firsts.Add(1)
						}
						if err == nil {
							break
						}
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, events, firsts.Load())
		require.Equal(t, events, count(t, db, "effects"))
	})
}

// The mutant that notes the event in a transaction of its own loses the effect of a handler that fails.
func TestTheTestCatchesASeparateTransaction(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		once := func(fn func(context.Context, data.Tx) error) error {
			first, err := box.Once(t.Context(), db, "c", "e", func(context.Context, data.Tx) error { return nil })
			if err != nil || !first {
				return err
			}
			return db.InTx(t.Context(), fn)
		}
		require.Error(t, once(func(context.Context, data.Tx) error { return errors.New("boom") }))
		require.NoError(t, once(effect("e")))
		require.Zero(t, count(t, db, "effects"), "the property of TestAFailedHandlerLeavesNoNote tells them apart")
	})
}

func TestNamesAreChecked(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		for _, names := range [][2]string{{"", "e"}, {"c", ""}, {"c", strings.Repeat("x", 1025)}} {
			_, err := box.Once(t.Context(), db, names[0], names[1], effect("e"))
			require.ErrorContains(t, err, "bytes")
		}
		require.Zero(t, count(t, db, "effects"))
	})
}

func TestPurgeForgetsOldEventsOnly(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			for n := range 1500 { // more than one batch
				if _, err := tx.Exec(ctx, "insert into mmf_inbox (consumer, event_id, handled_at) values ($1, $2, $3)",
					"c", fmt.Sprint("old-", n), time.Now().Add(-31*24*time.Hour).UnixMicro()); err != nil {
					return err
				}
			}
			return nil
		}))
		_, err := box.Once(t.Context(), db, "c", "new", effect("new"))
		require.NoError(t, err)
		n, err := box.Purge(t.Context(), db)
		require.NoError(t, err)
		require.EqualValues(t, 1500, n)
		require.Equal(t, 1, count(t, db, "mmf_inbox"))
	})
}

func TestRunPurgesAndStops(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB, box *inbox.Inbox) {
		_, err := db.Exec(t.Context(), "insert into mmf_inbox (consumer, event_id, handled_at) values ('c', 'old', 0)")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- box.Run(ctx, db) }()
		require.Eventually(t, func() bool { return count(t, db, "mmf_inbox") == 0 }, 10*time.Second, time.Millisecond)
		cancel()
		require.NoError(t, <-done)
	})
}
