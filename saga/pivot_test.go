package saga_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// A transactional step can be the point of no return: once it is committed a cancel is refused, and before that a refusal compensates.
func TestATransactionalStepCanBeThePivot(t *testing.T) {
	t.Parallel()
	store, err := sagasqlite.New(t.Context(), datatest.SQLite(t))
	require.NoError(t, err)
	arrived, leave := make(chan struct{}), make(chan struct{})
	l := &log{}
	def := saga.Define("tx-pivot", 1, stop(l, "a"),
		saga.TxPivot("approve", func(_ saga.Ctx, _ data.Tx, t trip) (saga.None, error) {
			if t.Fail == "approve" {
				return saga.None{}, saga.Reject("no")
			}
			return saga.None{}, nil
		}),
		saga.Retriable("tell", func(c saga.Ctx, _ trip) (saga.None, error) {
			close(arrived)
			select {
			case <-leave:
			case <-c.Done():
			}
			return saga.None{}, nil
		}))
	e, _ := engine(t, saga.Config{}, store, def)
	run, err := def.Start(t.Context(), e, "p1", trip{})
	require.NoError(t, err)
	<-arrived
	require.ErrorIs(t, e.Cancel(context.Background(), "p1", "ann", "too late"), saga.ErrPastPivot)
	close(leave)
	_, err = run.Result(t.Context())
	require.NoError(t, err)

	run, err = def.Start(t.Context(), e, "p2", trip{Fail: "approve"})
	require.NoError(t, err)
	_, err = run.Result(t.Context())
	require.ErrorAs(t, err, new(*saga.CompensatedError))
}
