package saga_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// TestGroupThatEndsWithAConditionFolds: the last thing that a group lacked may be a branch that is not taken.
func TestGroupThatEndsWithAConditionFolds(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		never := saga.When("never", func(trip) bool { return false }, stop(l, "x"))
		var seen []string
		look := saga.Step("look", func(_ saga.Ctx, s trip) (saga.None, error) { seen = s.Stops; return saga.None{}, nil }).
			Undo(func(saga.Ctx, trip, saga.None) error { return nil })
		def := saga.Define("trip", 1, saga.Parallel("both", stop(l, "a"), saga.Sequence("lane", stop(l, "b"), never)), look)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, out.Stops)
		require.Equal(t, []string{"a", "b"}, seen)
	})
}
