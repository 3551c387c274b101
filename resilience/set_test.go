package resilience_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/resilience"
)

func TestSameNameSameState(t *testing.T) {
	t.Parallel()
	set, err := resilience.NewSet(resilience.Config{Name: "b", Breaker: resilience.Breaker{Failures: 1}}, resilience.Config{Name: "a"})
	require.NoError(t, err)
	p, err := set.Policy("b")
	require.NoError(t, err)
	_, _ = call(t.Context(), p, errDown)
	again, err := set.Policy("b")
	require.NoError(t, err)
	require.Equal(t, resilience.Open, again.State().Breaker)
	require.Equal(t, "a", set.Policies()[0].Name())

	_, err = set.Policy("c")
	require.ErrorIs(t, err, resilience.ErrUnknownPolicy)
	require.EqualError(t, err, `resilience: unknown policy "c"; known: a, b`)
}

func TestSetRefusesDuplicatesAndTellsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := resilience.NewSet(resilience.Config{Name: "a"}, resilience.Config{Name: "a"}, resilience.Config{})
	require.ErrorContains(t, err, `policy "a" is given twice`)
	require.ErrorContains(t, err, "Name must be")
}

func TestUpdateIsWholeOrNothing(t *testing.T) {
	t.Parallel()
	config := func(failures int, timeout time.Duration) resilience.Config {
		return resilience.Config{Name: "a", Timeout: timeout, Breaker: resilience.Breaker{Failures: failures}}
	}
	set, err := resilience.NewSet(config(1, time.Second))
	require.NoError(t, err)
	p, err := set.Policy("a")
	require.NoError(t, err)
	_, _ = call(t.Context(), p, errDown)

	require.ErrorContains(t, set.Update(), `policy "a" is in use`)
	require.Error(t, set.Update(config(2, time.Second), resilience.Config{Name: "b", Timeout: -1}))
	_, err = set.Policy("b")
	require.Error(t, err)
	require.Equal(t, resilience.Open, p.State().Breaker, "nothing changed")

	require.NoError(t, set.Update(config(1, time.Minute), resilience.Config{Name: "b"}))
	require.Equal(t, resilience.Open, p.State().Breaker, "its settings did not change, so its state stays")
	require.NoError(t, set.Update(config(2, time.Minute), resilience.Config{Name: "b"}))
	require.Equal(t, resilience.Closed, p.State().Breaker, "other settings, other breaker")

	require.NoError(t, p.ForceOpen(time.Minute))
	require.NoError(t, set.Update(config(3, time.Minute), resilience.Config{Name: "b"}))
	require.True(t, p.State().Forced, "an order outlives new settings")
	require.Error(t, p.Update(resilience.Config{Name: "other"}))
}

// TestUpdateKeepsFunctions: settings read from a file carry no functions, so those of the start stay.
func TestUpdateKeepsFunctions(t *testing.T) {
	t.Parallel()
	first, second := 0, 0
	hooks := resilience.Hooks{Call: func(context.Context, resilience.CallEvent) { first++ }}.
		Join(resilience.Hooks{Call: func(context.Context, resilience.CallEvent) { second++ }})
	p := newPolicy(t, resilience.Config{
		Breaker:  resilience.Breaker{Failures: 1},
		Classify: func(error) resilience.Outcome { return resilience.OutcomeSuccess }, Hooks: hooks,
	})
	require.NoError(t, p.Update(resilience.Config{Name: "dep", Breaker: resilience.Breaker{Failures: 1}, Timeout: time.Minute}))
	_, _ = call(t.Context(), p, errDown)
	require.Equal(t, resilience.Closed, p.State().Breaker)
	require.Equal(t, [2]int{1, 1}, [2]int{first, second})
}

// TestHooksMayAskTheSetDuringAnUpdate: new breaker settings close an open breaker, and the hook that hears of it looks around.
func TestHooksMayAskTheSetDuringAnUpdate(t *testing.T) {
	t.Parallel()
	var set *resilience.Set
	var changes []resilience.StateChange
	config := func(failures int) resilience.Config {
		return resilience.Config{Name: "a", Breaker: resilience.Breaker{Failures: failures}, Hooks: resilience.Hooks{
			StateChange: func(c resilience.StateChange) {
				changes = append(changes, c)
				_, err := set.Policy("a")
				require.NoError(t, err)
				require.Len(t, set.Policies(), 1)
			},
		}}
	}
	set, err := resilience.NewSet(config(1))
	require.NoError(t, err)
	_, _ = call(t.Context(), set.Policies()[0], errDown)
	require.NoError(t, set.Update(config(2)))
	require.Len(t, changes, 2)
	require.Equal(t, resilience.Closed, changes[1].To)
	require.True(t, changes[1].Forced)
}
