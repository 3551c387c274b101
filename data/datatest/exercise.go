package datatest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
)

// ExerciseDriver runs the conformance suite of [data.DB]: what an application may rely on with every engine. open
// returns an empty database that is closed at the end of the test it got.
func ExerciseDriver(t *testing.T, open func(t testing.TB) data.DB) {
	t.Helper()
	for name, exercise := range map[string]func(*testing.T, data.DB){
		"commit":                                commits,
		"an error rolls back":                   errorRollsBack,
		"a panic rolls back and goes on":        panicRollsBack,
		"an exiting goroutine rolls back":       exitRollsBack,
		"a swallowed failure rolls back":        swallowedFailureRollsBack,
		"a failed transaction takes nothing":    failedTxTakesNothing,
		"a scan error dooms nothing":            scanErrorDoomsNothing,
		"rows affected":                         rowsAffected,
		"no rows":                               noRows,
		"rows":                                  readsRows,
		"open rows and the next statement":      openRowsBlockTheTx,
		"rows left open":                        rowsLeftOpen,
		"a tx after its end":                    txAfterItsEnd,
		"using the database inside its own tx":  nestedUse,
		"a repeated placeholder":                repeatedPlaceholder,
		"a script without arguments":            script,
		"returning outside a transaction":       returningOutsideTx,
		"kinds of errors":                       kinds,
		"a context that has ended":              endedContext,
		"a context that ends inside":            contextEndsInside,
		"a context that ends during a wait":     contextEndsWaiting,
		"concurrent increments":                 concurrentIncrements,
		"uncommitted rows are invisible":        isolation,
		"values":                                values,
		"null":                                  null,
		"large values":                          largeValues,
		"ping, close, and what comes after":     closing,
		"close waits for the transaction":       closeWaits,
		"the dialect, and the native value":     dialect,
		"many statements at once, none blocked": manyReaders,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			must(t, db, "create table accounts (id bigint primary key, owner text not null, balance bigint not null check (balance >= 0))")
			exercise(t, db)
		})
	}
}

var errBoom = errors.New("boom")

func must(t *testing.T, q data.Querier, sql string, args ...any) {
	t.Helper()
	_, err := q.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func insert(ctx context.Context, q data.Querier, id int64) error {
	_, err := q.Exec(ctx, "insert into accounts (id, owner, balance) values ($1, $2, $3)", id, "ann", 100)
	return err
}

// ids reads what is committed.
func ids(t *testing.T, db data.Querier) []int64 {
	t.Helper()
	rows, err := db.Query(t.Context(), "select id from accounts order by id")
	require.NoError(t, err)
	got := []int64{}
	for rows.Next() {
		var id int64
		require.NoError(t, rows.Scan(&id))
		got = append(got, id)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	return got
}
