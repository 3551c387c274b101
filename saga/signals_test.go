package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// A signal that comes after the deadline of its await is not kept for the next await of the same signal.
func TestSignalAfterTheDeadlineIsRefused(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		ok := saga.NewSignal[string]("ok")
		refused := make(chan saga.SagaEvent, 10)
		hooks := saga.Hooks{Refused: func(_ context.Context, e saga.SagaEvent) { refused <- e }}
		await := func(name string, within time.Duration) *saga.AwaitNode[trip] {
			return saga.Await(ok, func(t *trip, s string) error { t.Stops = append(t.Stops, name+" "+s); return nil }).Named(name).Within(within)
		}
		gate := make(chan struct{})
		expired := make(chan struct{})
		def := saga.Define("trip", 1,
			await("first", 10*time.Millisecond).OnDeadline(step("remind", func(saga.Ctx) error { close(expired); return nil })),
			step("between", func(c saga.Ctx) error { return held(c, gate) }), await("second", time.Hour),
			step("behind", nothing), await("never", time.Hour).OnDeadline(step("x", nothing)))
		never := saga.NewSignal[string]("unheard of")
		e, _ := engine(t, saga.Config{Hooks: hooks}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		<-expired
		require.NoError(t, ok.Send(within(t), e, "t1", "late", saga.DedupeKey("k")))
		ev := <-refused
		require.Equal(t, "first", ev.Step)
		require.Contains(t, ev.Reason, "after its deadline")
		require.NoError(t, never.Send(within(t), e, "t1", "hello"))
		require.Contains(t, (<-refused).Reason, "does not await it")
		close(gate)
		eventually(t, "waits again", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.Steps[3].Status == "waiting"
		})
		require.NoError(t, ok.Send(within(t), e, "t1", "in time", saga.DedupeKey("k")), "what was refused was not taken")
		require.NoError(t, ok.Send(within(t), e, "t1", "early"))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"second in time", "never early"}, out.Stops)
		history, err := e.History(within(t), "t1")
		require.NoError(t, err)
		signals := 0
		for _, r := range history {
			if r.Kind == saga.Signalled {
				signals++
			}
		}
		require.Equal(t, 2, signals, "the journal keeps nothing of what was refused")
	})
}

// Signals for awaits on a path that was not taken, or that are behind the saga, are refused; those still to come are kept.
func TestSignalForAnotherPathIsRefused(t *testing.T) {
	t.Parallel()
	yes, no := saga.NewSignal[bool]("yes"), saga.NewSignal[bool]("no")
	await := func(s *saga.Signal[bool]) *saga.AwaitNode[trip] {
		return saga.Await(s, func(*trip, bool) error { return nil }).Within(time.Hour)
	}
	refused := make(chan saga.SagaEvent, 10)
	hooks := saga.Hooks{Refused: func(_ context.Context, e saga.SagaEvent) { refused <- e }}
	gate, here := make(chan struct{}), make(chan struct{})
	def := saga.Define("trip", 1, saga.When("which", func(trip) bool { return true },
		step("a", func(c saga.Ctx) error { close(here); return held(c, gate) }), await(yes)).Otherwise(await(no)))
	e, _ := engine(t, saga.Config{Hooks: hooks}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	<-here
	require.NoError(t, no.Send(within(t), e, "t1", true))
	require.Contains(t, (<-refused).Reason, `"no" is refused: the saga does not await it`)
	require.NoError(t, yes.Send(within(t), e, "t1", true))
	eventually(t, "is kept", func() bool {
		h, err := e.History(t.Context(), "t1")
		return err == nil && h[len(h)-1].Kind == saga.Signalled
	})
	close(gate)
	_, err = run.Result(within(t))
	require.NoError(t, err)
	require.Empty(t, refused)
}
