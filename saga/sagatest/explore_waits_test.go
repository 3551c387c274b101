package sagatest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

var approval = saga.NewSignal[bool]("approval")

// Signals come early, late, twice or never; days of waiting pass in no time.
func TestExploreSignals(t *testing.T) {
	setup := func(w *sagatest.World) *saga.Def[order] {
		s := newShop(w, "")
		n := s.nodes()
		return saga.Define("approved", 1, n.create, n.charge,
			saga.Sleep("cool-down", func(order) time.Duration { return 24 * time.Hour }),
			saga.Await(approval, func(_ *order, yes bool) error {
				if !yes {
					return saga.Reject("declined")
				}
				return nil
			}).Within(48*time.Hour),
			n.capture, n.ship)
	}
	r := sagatest.Explore(t, order{Cents: 500}, setup, sagatest.Schema(schema), sagatest.Signal(approval, true), sagatest.Faults(1))
	for _, k := range []sagatest.Kind{sagatest.SignalEarly, sagatest.SignalLate, sagatest.SignalTwice, sagatest.NoSignal, sagatest.Cancel} {
		require.Positive(t, r.Fired[k], "%s was never made", k)
	}
	require.Positive(t, r.Outcomes[saga.Compensated])

	declined := sagatest.Search(t, order{Cents: 500}, setup, sagatest.Schema(schema), sagatest.Signal(approval, false), sagatest.Faults(0))
	require.Equal(t, []string{"does-not-complete"}, declined.Bugs())
	sagatest.Explore(t, order{Cents: 500}, setup, sagatest.Schema(schema), sagatest.Signal(approval, false), sagatest.Faults(0), sagatest.MayFail())
}

// What is sensitive is explored as it is: definitions need no other form in tests.
func TestExploreSensitiveSagas(t *testing.T) {
	type payment struct{ No string }
	setup := func(w *sagatest.World) *saga.Def[payment] {
		bank := w.Participant("bank")
		return saga.Define("secret", 1,
			saga.Step("charge", func(c saga.Ctx, _ payment) (string, error) { return "pay-1", bank.Do(c, c.Key()) }).
				Undo(func(c saga.Ctx, _ payment, _ string) error { return bank.Undo(c, c.Key()) }).
				Into(func(p *payment, no string) { p.No = no }).Sensitive(),
			saga.Pivot("end", func(saga.Ctx, payment) (saga.None, error) { return saga.None{}, nil })).Sensitive()
	}
	r := sagatest.Explore(t, payment{}, setup)
	require.Positive(t, r.Undos["charge"].Reached)
}

// Branches that run side by side are slow in turn, fail in turn, and are taken back side by side.
func TestExploreParallelBranches(t *testing.T) {
	setup := func(w *sagatest.World) *saga.Def[order] {
		a, b, c := w.Participant("a"), w.Participant("b"), w.Participant("c")
		step := func(name string, p *sagatest.Participant) *saga.StepNode[order, saga.None] {
			return saga.Step(name, func(c saga.Ctx, _ order) (saga.None, error) { return saga.None{}, p.Do(c, c.Key()) }).
				Undo(func(c saga.Ctx, _ order, _ saga.None) error { return p.Undo(c, c.Key()) })
		}
		return saga.Define("side-by-side", 1, saga.Parallel("both", step("a", a), step("b", b)), step("c", c),
			saga.Pivot("end", func(saga.Ctx, order) (saga.None, error) { return saga.None{}, nil }))
	}
	r := sagatest.Explore(t, order{}, setup)
	require.Positive(t, r.Fired[sagatest.Slow])
	for _, step := range []string{"a", "b", "c"} {
		u := r.Undos[step]
		require.Positive(t, u.Reached, step)
		require.Positive(t, u.Repeated, step)
		require.Positive(t, u.NeverHappened, step)
	}
}

// A schedule from a report runs again by itself, and says so when the saga no longer comes by its places.
func TestReplayRunsOneSchedule(t *testing.T) {
	setup := func(w *sagatest.World) *saga.Def[order] { return newShop(w, "").definition() }
	sagatest.Replay(t, "reject@capture/do + lost-reply@charge/undo", order{Cents: 500}, setup, sagatest.Schema(schema))
	for _, s := range []string{"", "no fault", "crash-after@charge/do", "reject@capture/do + twice@charge/undo#2"} {
		parsed, err := sagatest.ParseSchedule(s)
		require.NoError(t, err)
		if s != "" {
			require.Equal(t, s, parsed.String())
		}
	}
	for _, s := range []string{"crash", "crash-after@", "melt@charge/do"} {
		_, err := sagatest.ParseSchedule(s)
		require.Error(t, err, s)
	}
}
