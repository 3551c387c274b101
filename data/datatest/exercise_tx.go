package datatest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
)

func commits(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		require.Equal(t, []int64{1}, ids(t, tx), "a transaction sees its own rows")
		return insert(ctx, tx, 2)
	}))
	require.Equal(t, []int64{1, 2}, ids(t, db))
}

func errorRollsBack(t *testing.T, db data.DB) {
	err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		return errBoom
	})
	require.ErrorIs(t, err, errBoom)
	require.Empty(t, ids(t, db))
}

func panicRollsBack(t *testing.T, db data.DB) {
	require.PanicsWithError(t, "boom", func() {
		_ = db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			require.NoError(t, insert(ctx, tx, 1))
			panic(errBoom)
		})
	})
	require.NoError(t, insert(t.Context(), db, 2), "the connection is free again")
	require.Equal(t, []int64{2}, ids(t, db))
}

func exitRollsBack(t *testing.T, db data.DB) {
	var wg sync.WaitGroup
	wg.Go(func() {
		// What t.FailNow does; it unwinds without a panic.
		defer func() { _ = recover() }()
		_ = db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			if err := insert(ctx, tx, 1); err != nil {
				return err
			}
			exitGoroutine()
			return nil
		})
	})
	wg.Wait()
	require.NoError(t, insert(t.Context(), db, 2), "the connection is free again")
	require.Equal(t, []int64{2}, ids(t, db))
}

func swallowedFailureRollsBack(t *testing.T, db data.DB) {
	err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		require.Error(t, insert(ctx, tx, 1))
		return nil
	})
	require.Equal(t, data.KindUnique, data.KindOf(err), "%v", err)
	require.Empty(t, ids(t, db))
}

func failedTxTakesNothing(t *testing.T, db data.DB) {
	err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "insert into nowhere values (1)")
		require.Error(t, err)
		require.Error(t, insert(ctx, tx, 2), "a failed transaction must not go on")
		var n int
		require.Error(t, tx.QueryRow(ctx, "select count(*) from accounts").Scan(&n))
		return err
	})
	require.Error(t, err)
	require.Empty(t, ids(t, db))
}

func scanErrorDoomsNothing(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		var n int64
		require.Error(t, tx.QueryRow(ctx, "select owner from accounts").Scan(&n), "text is no number")
		require.ErrorIs(t, tx.QueryRow(ctx, "select id from accounts where id = $1", 9).Scan(&n), data.ErrNoRows)
		return insert(ctx, tx, 2)
	}))
	require.Equal(t, []int64{1, 2}, ids(t, db))
}

func openRowsBlockTheTx(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		require.NoError(t, insert(ctx, tx, 2))
		rows, err := tx.Query(ctx, "select id from accounts")
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.ErrorContains(t, insert(ctx, tx, 3), "still open")
		require.NoError(t, rows.Close())
		require.NoError(t, rows.Close())
		return insert(ctx, tx, 4)
	}))
	require.Equal(t, []int64{1, 2, 4}, ids(t, db))
}

func rowsLeftOpen(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		_, err := tx.Query(ctx, "select id from accounts")
		return err
	}))
	require.Equal(t, []int64{1}, ids(t, db))
}

func txAfterItsEnd(t *testing.T, db data.DB) {
	var kept data.Tx
	require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx data.Tx) error {
		kept = tx
		return nil
	}))
	require.ErrorContains(t, insert(t.Context(), kept, 1), "ended")
	_, err := kept.Query(t.Context(), "select 1")
	require.ErrorContains(t, err, "ended")
	require.Empty(t, ids(t, db))
}

func nestedUse(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.ErrorIs(t, db.InTx(ctx, func(context.Context, data.Tx) error { return nil }), data.ErrNestedTx)
		require.ErrorIs(t, insert(ctx, db, 1), data.ErrNestedTx)
		var n int
		require.ErrorIs(t, db.QueryRow(ctx, "select 1").Scan(&n), data.ErrNestedTx)
		require.NoError(t, db.QueryRow(t.Context(), "select 1").Scan(&n), "the outer context is not inside")
		return insert(ctx, tx, 2)
	}))
	require.Equal(t, []int64{2}, ids(t, db))
}

func endedContext(t *testing.T, db data.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, db.InTx(ctx, func(context.Context, data.Tx) error { t.Error("ran"); return nil }), context.Canceled)
	require.ErrorIs(t, insert(ctx, db, 1), context.Canceled)
	var n int
	require.ErrorIs(t, db.QueryRow(ctx, "select 1").Scan(&n), context.Canceled)
	require.Empty(t, ids(t, db))
}

func contextEndsInside(t *testing.T, db data.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	err := db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		cancel()
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, data.ErrOutcomeUnknown, "COMMIT was not sent")
	require.Empty(t, ids(t, db))
}

// contextEndsWaiting waits for a row that another transaction holds; on an engine with one writer, for the writer.
func contextEndsWaiting(t *testing.T, db data.DB) {
	require.NoError(t, insert(t.Context(), db, 1))
	const update = "update accounts set balance = balance + 1 where id = 1"
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		must(t, tx, update)
		waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := db.InTx(waiting, func(ctx context.Context, tx data.Tx) error {
			_, err := tx.Exec(ctx, update)
			return err
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		return nil
	}))
	var balance int64
	require.NoError(t, db.QueryRow(t.Context(), "select balance from accounts").Scan(&balance))
	require.EqualValues(t, 101, balance)
}

func concurrentIncrements(t *testing.T, db data.DB) {
	require.NoError(t, insert(t.Context(), db, 1))
	const workers, rounds = 8, 15
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
					_, err := tx.Exec(ctx, "update accounts set balance = balance + $1 where id = $2", 1, 1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var balance int64
	require.NoError(t, db.QueryRow(t.Context(), "select balance from accounts where id = $1", 1).Scan(&balance))
	require.EqualValues(t, 100+workers*rounds, balance)
}

func isolation(t *testing.T, db data.DB) {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, insert(ctx, tx, 1))
		require.Empty(t, ids(t, db), "seen from outside")
		return nil
	}))
	require.Equal(t, []int64{1}, ids(t, db))
}

func closing(t *testing.T, db data.DB) {
	require.NoError(t, db.Ping(t.Context()))
	require.NoError(t, db.Close())
	require.NoError(t, db.Close())
	require.Error(t, db.Ping(t.Context()))
	require.Error(t, insert(t.Context(), db, 1))
	require.Error(t, db.InTx(t.Context(), func(context.Context, data.Tx) error { t.Error("ran"); return nil }))
}

func closeWaits(t *testing.T, db data.DB) {
	closed := make(chan error, 1)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		go func() { closed <- db.Close() }()
		for t.Context().Err() == nil && db.Ping(t.Context()) == nil { // until the closing has begun
			time.Sleep(time.Millisecond)
		}
		select {
		case err := <-closed:
			t.Errorf("Close returned while a transaction was open: %v", err)
		default:
		}
		return insert(ctx, tx, 1)
	}), "a transaction that was open when Close was called ends as it would have")
	require.NoError(t, <-closed)
}
