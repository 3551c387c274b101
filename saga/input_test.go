package saga_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

func TestBadStarts(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"))
		number := saga.Define("number", 1, saga.Step("n", func(saga.Ctx, float64) (saga.None, error) { return saga.None{}, nil }))
		stranger := saga.Define("stranger", 1, stop(l, "a"))
		e, _ := engine(t, saga.Config{MaxPayload: 1000}, s, def, number)
		_, err := def.Start(within(t), e, "", trip{})
		require.ErrorIs(t, err, saga.ErrInvalidID)
		require.ErrorContains(t, err, "1 to 200 bytes")
		_, err = def.Start(within(t), e, saga.ID(strings.Repeat("x", 201)), trip{})
		require.ErrorContains(t, err, "1 to 200 bytes")
		_, err = def.Start(within(t), e, "t1", trip{Name: strings.Repeat("x", 2000)})
		require.ErrorIs(t, err, saga.ErrTooLarge)
		_, err = number.Start(within(t), e, "n1", math.NaN())
		require.ErrorContains(t, err, "does not encode as JSON")
		_, err = stranger.Start(within(t), e, "s1", trip{})
		require.ErrorIs(t, err, saga.ErrNotRegistered)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = def.Start(canceled, e, "t2", trip{})
		require.ErrorIs(t, err, context.Canceled)
		_, err = e.Status(within(t), "t2")
		require.ErrorIs(t, err, saga.ErrNotFound)
		for _, hostile := range []saga.ID{"'; drop table saga_key; --", "a\nb", "päckchen/€", "%"} {
			run, err := def.Start(within(t), e, hostile, trip{})
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.NoError(t, err)
			st, err := e.Status(within(t), hostile)
			require.NoError(t, err)
			require.Equal(t, hostile, st.ID)
		}
	})
}

func TestAnotherShapeUnderTheSameVersionIsRefused(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		e, stopEngine := engine(t, saga.Config{}, store(), saga.Define("trip", 1, stop(l, "a")))
		require.Eventually(t, e.Running, 10*time.Second, time.Millisecond)
		stopEngine()
		changed, err := saga.New(saga.Config{}, store(), saga.Define("trip", 1, stop(l, "a"), stop(l, "b")))
		require.NoError(t, err)
		require.ErrorIs(t, changed.Run(t.Context()), saga.ErrShapeChanged)
	})
}

func TestPanickingFunctionsAreContained(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		panics := saga.Step("panics", func(saga.Ctx, trip) (saga.None, error) { panic("at the disco") }).Retry(quick)
		tx := saga.TxStep("tx", func(saga.Ctx, data.Tx, trip) (saga.None, error) { panic("in the transaction") }).Retry(quick)
		fold := saga.Step("fold", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }).
			Into(func(*trip, saga.None) { panic("while folding") })
		defs := []*saga.Def[trip]{
			saga.Define("step", 1, stop(l, "a"), panics), saga.Define("tx", 1, stop(l, "a"), tx), saga.Define("fold", 1, fold),
			saga.Define("fine", 1, stop(l, "z")),
		}
		failed := make(chan error, 100)
		hooks := saga.Hooks{Failed: func(_ context.Context, err error) {
			select {
			case failed <- err:
			default:
			}
		}}
		e, _ := engine(t, saga.Config{Hooks: hooks}, store(), defs[0], defs[1], defs[2], defs[3])
		for i, want := range []string{"at the disco", "in the transaction"} {
			run, err := defs[i].Start(within(t), e, saga.ID(want), trip{})
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.ErrorContains(t, err, want)
		}
		run, err := defs[2].Start(within(t), e, "poison", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Contains(t, parked.Reason, "while folding")
		require.Equal(t, "fold", parked.Step)
		require.ErrorContains(t, <-failed, "while folding")
		run, err = defs[3].Start(within(t), e, "fine", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err, "a poisoned saga changes no other")
	})
}

func TestStartTxCommitsWithTheCaller(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"))
		e, _ := engine(t, saga.Config{}, s, def)
		require.NoError(t, e.Register(within(t)))
		boom := errors.New("boom")
		start := func(id saga.ID, end error) error {
			return s.DB().InTx(within(t), func(ctx context.Context, tx data.Tx) error {
				if _, err := def.StartTx(ctx, e, tx, id, trip{}); err != nil {
					return err
				}
				return end
			})
		}
		require.ErrorIs(t, start("t1", boom), boom)
		_, err := e.Status(within(t), "t1")
		require.ErrorIs(t, err, saga.ErrNotFound)
		require.NoError(t, start("t1", nil))
		run, err := def.Find(within(t), e, "t1")
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
		require.ErrorIs(t, start("t1", nil), saga.ErrConflict)
	})
}

func TestStoresRefuseAnotherEngine(t *testing.T) {
	t.Parallel()
	_, err := sagapg.New(t.Context(), datatest.SQLite(t))
	require.ErrorContains(t, err, "the database is sqlite")
	_, err = sagasqlite.New(t.Context(), datatest.Postgres(t))
	require.ErrorContains(t, err, "the database is postgres")
}
