package saga_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// A function that ends its goroutine, as a failing test's does, takes neither the saga with it nor its transaction's place.
func TestTransactionalStepThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		exits := saga.TxStep("exits", func(saga.Ctx, data.Tx, trip) (saga.None, error) { runtime.Goexit(); return saga.None{}, nil }).Retry(quick)
		def := saga.Define("trip", 1, stop(l, "a"), exits)
		e, _ := engine(t, saga.Config{TxConcurrency: 1}, store(), def)
		for _, id := range []saga.ID{"t1", "t2"} {
			run, err := def.Start(within(t), e, id, trip{})
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.ErrorAs(t, err, new(*saga.CompensatedError))
			require.ErrorContains(t, err, "runtime.Goexit")
		}
	})
}

// So does a function of the definition: its saga is tried again later, told about, and changes no other.
func TestConditionThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		var asked atomic.Bool
		def := saga.Define("trip", 1, saga.When("when", func(trip) bool {
			if asked.CompareAndSwap(false, true) {
				runtime.Goexit()
			}
			return true
		}, stop(l, "a")))
		told := make(chan error, 10)
		e, _ := engine(t, saga.Config{Hooks: saga.Hooks{Failed: func(_ context.Context, err error) { told <- err }}}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
		require.ErrorContains(t, <-told, "runtime.Goexit")
		require.Equal(t, []string{"do a"}, l.all())
	})
}
