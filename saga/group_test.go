package saga_test

import (
	"testing"
	"time"

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

// TestParkedSagaForgetsNoStep: a saga parks at once behind a step; a cancel, in whatever process, takes that step back. SAFE-6.
func TestParkedSagaForgetsNoStep(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		bad := saga.Step("bad", func(saga.Ctx, trip) (string, error) { l.add("do bad"); return "x", nil }).
			Undo(func(c saga.Ctx, _ trip, _ string) error { l.add("undo bad known=%t", c.ResultKnown()); return nil }).
			Into(func(*trip, string) { panic("bug") })
		fold := saga.Define("fold", 1, bad)
		when := saga.Define("when", 1, stop(l, "a"), saga.When("w", func(trip) bool { panic("bug") }, stop(l, "b")))
		s := store()
		e1, stop1 := engine(t, saga.Config{Node: "one"}, s, fold, when)
		for _, def := range []*saga.Def[trip]{fold, when} {
			run, err := def.Start(within(t), e1, saga.ID(def.Name()), trip{})
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.ErrorAs(t, err, new(*saga.ParkedError))
		}
		stop1()
		e2, _ := engine(t, saga.Config{Node: "two"}, s, fold, when)
		for _, def := range []*saga.Def[trip]{fold, when} {
			require.NoError(t, e2.Cancel(within(t), saga.ID(def.Name()), "ann", "no use"))
			require.Eventually(t, func() bool {
				st, err := e2.Status(t.Context(), saga.ID(def.Name()))
				return err == nil && st.State == saga.State(saga.Compensated)
			}, 10*time.Second, 5*time.Millisecond)
		}
		require.Equal(t, []string{"do bad", "do a", "undo bad known=false", `undo a known=true result="a"`}, l.all())
	})
}
