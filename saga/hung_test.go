package saga_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// deaf is a step whose first attempts ignore their contexts until free is closed, and then succeed.
func deaf(l *log, attempts int, free <-chan struct{}) *saga.StepNode[trip, string] {
	return saga.Step("deaf", func(c saga.Ctx, _ trip) (string, error) {
		l.add("try %d", c.Attempt())
		if c.Attempt() <= attempts {
			<-free
			l.add("late %d", c.Attempt())
			return "late", nil
		}
		return "in time", nil
	}).Undo(func(c saga.Ctx, _ trip, r string) error {
		l.add("undo known=%t %q", c.ResultKnown(), r)
		return nil
	}).Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) }).Timeout(10 * time.Millisecond)
}

func hungHooks(hung chan<- saga.AttemptEvent) saga.Hooks {
	return saga.Hooks{Hung: func(_ context.Context, e saga.AttemptEvent) { hung <- e }}
}

// An attempt that ignores its context is told about, repeated, and its late result counts for nothing.
func TestHungAttemptIsRepeated(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l, free, hung, late := &log{}, make(chan struct{}), make(chan saga.AttemptEvent, 10), saga.NewSignal[bool]("late")
		def := saga.Define("trip", 1, deaf(l, 1, free).Retry(quick),
			saga.Await(late, func(*trip, bool) error { return nil }).Within(time.Hour))
		e, _ := engine(t, saga.Config{Grace: 20 * time.Millisecond, Concurrency: 1, Hooks: hungHooks(hung)}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		eventually(t, "goes on", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.Steps[0].Status == "done"
		})
		close(free)
		eventually(t, "the first attempt returns", func() bool { return slices.Contains(l.all(), "late 1") })
		require.NoError(t, late.Send(within(t), e, "t1", true))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"in time"}, out.Stops)
		ev := <-hung
		require.Equal(t, "deaf", ev.Step)
		require.Equal(t, 1, ev.Attempt)
		require.ErrorContains(t, ev.Err, "ignores its context")
		require.Empty(t, hung)
		history, err := e.History(within(t), "t1")
		require.NoError(t, err)
		require.Equal(t, saga.Failed, history[1].Kind)
		require.Len(t, slices.DeleteFunc(history, func(r saga.Record) bool { return r.Node != "deaf" }), 2)
	})
}

// A step that always hangs is undone with its outcome unknown.
func TestHungStepIsCompensated(t *testing.T) {
	t.Parallel()
	l, free, hung := &log{}, make(chan struct{}), make(chan saga.AttemptEvent, 10)
	def := saga.Define("trip", 1, stop(l, "a"), deaf(l, 9, free).Retry(saga.Retry{Max: 2, First: time.Millisecond}))
	e, end := engine(t, saga.Config{Grace: 20 * time.Millisecond, Hooks: hungHooks(hung)}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	var ce *saga.CompensatedError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, "deaf", ce.Step)
	require.Equal(t, []string{"do a", "try 1", "try 2", `undo known=false ""`, `undo a known=true result="a"`}, l.all())
	require.Len(t, hung, 2)
	close(free)
	end()
}

// A saga that turned back does not wait for ever for a step that does not hear it.
func TestHungSiblingOfARejectionIsGivenUp(t *testing.T) {
	t.Parallel()
	l, free, hung := &log{}, make(chan struct{}), make(chan saga.AttemptEvent, 10)
	began := make(chan struct{})
	slow := step("slow", func(saga.Ctx) error { close(began); <-free; return nil }).
		Undo(func(c saga.Ctx, _ trip, _ saga.None) error { l.add("undo slow known=%t", c.ResultKnown()); return nil }).Timeout(time.Hour)
	no := step("no", func(saga.Ctx) error { <-began; return saga.Reject("no") })
	def := saga.Define("trip", 1, saga.Parallel("both", slow, no))
	e, end := engine(t, saga.Config{Grace: 20 * time.Millisecond, Hooks: hungHooks(hung)}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	_, err = run.Result(within(t))
	var ce *saga.CompensatedError
	require.ErrorAs(t, err, &ce)
	require.Equal(t, []string{"undo slow known=false"}, l.all())
	require.Equal(t, "slow", (<-hung).Step)
	close(free)
	end()
}
