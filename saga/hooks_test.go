package saga_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

type ctxKey string

// Every Attempting has one Attempted with the same context, whatever became of the attempt; waits, turns and ends are told.
func TestHooksTellWhatHappens(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		var mu sync.Mutex
		var lines []string
		add := func(s string) { mu.Lock(); defer mu.Unlock(); lines = append(lines, s) }
		hooks := saga.Hooks{
			Starting: func(ctx context.Context, e saga.SagaEvent) (context.Context, func(error)) {
				return context.WithValue(ctx, ctxKey("start"), "s"), func(err error) { require.NoError(t, err) }
			},
			Started: func(_ context.Context, e saga.SagaEvent) { add("started " + string(e.ID)) },
			Attempting: func(ctx context.Context, e saga.AttemptEvent) context.Context {
				return context.WithValue(ctx, ctxKey("step"), e.Step+"/"+string(e.Direction))
			},
			Attempted: func(ctx context.Context, e saga.AttemptEvent) {
				require.Equal(t, e.Step+"/"+string(e.Direction), ctx.Value(ctxKey("step")))
				add(string(e.Direction) + " " + e.Step + " " + e.Outcome)
			},
			Waited:     func(_ context.Context, e saga.WaitEvent) { add(e.Kind + " " + e.Step + " " + e.Outcome) },
			TurnedBack: func(_ context.Context, e saga.SagaEvent) { add("turned back at " + e.Step) },
			Unknown:    func(_ context.Context, e saga.SagaEvent) { add("unknown " + e.Step) },
			Finished:   func(_ context.Context, e saga.SagaEvent) { add("finished " + string(e.Outcome)) },
		}
		l := &log{}
		bad := step("bad", func(c saga.Ctx) error {
			require.Equal(t, "bad/do", c.Value(ctxKey("step")))
			return errors.New("no")
		}).Retry(saga.Retry{Max: 2, First: time.Millisecond}).Undo(func(saga.Ctx, trip, saga.None) error { return nil })
		def := saga.Define("trip", 1, stop(l, "a"), saga.Sleep("nap", func(trip) time.Duration { return time.Millisecond }), bad)
		e, end := engine(t, saga.Config{Hooks: saga.JoinHooks(saga.Hooks{}, hooks, saga.LogHooks(slog.New(slog.DiscardHandler)))}, store(), def)
		eventually(t, "runs", e.Running)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		end()
		require.Equal(t, []string{
			"started t1", "do a done", "sleep nap done", "do bad failed", "do bad failed", "unknown bad", "turned back at bad",
			"undo bad done", "undo a done", "finished compensated",
		}, lines)
	})
}

// The census counts each saga once, by what it does.
func TestCensus(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		free := make(chan struct{})
		slow := step("slow", func(c saga.Ctx) error {
			if c.SagaID() == "parks" {
				return saga.Reject("no")
			}
			return held(c, free)
		}).Timeout(time.Minute).Undo(func(saga.Ctx, trip, saga.None) error { return nil })
		stuck := step("first", nothing).Undo(func(saga.Ctx, trip, saga.None) error { return saga.Reject("stuck") })
		sig := saga.NewSignal[bool]("go")
		def := saga.Define("trip", 1, stuck,
			saga.When("long", func(s trip) bool { return s.Name == "waits" }, saga.Await(sig, func(*trip, bool) error { return nil }).Within(time.Hour)),
			slow)
		e, _ := engine(t, saga.Config{}, store(), def)
		eventually(t, "runs", e.Running)
		for _, id := range []saga.ID{"runs", "waits", "waits2", "parks"} {
			name := string(id)
			if id == "waits2" {
				name = "waits"
			}
			_, err := def.Start(within(t), e, id, trip{Name: name})
			require.NoError(t, err)
		}
		eventually(t, "each is where it is to be", func() bool {
			c, err := e.Census(within(t))
			require.NoError(t, err)
			require.Len(t, c, 1)
			return c[0].Running == 1 && c[0].Waiting == 2 && c[0].Parked == 1 && c[0].Compensating == 0 && time.Since(c[0].Oldest) < time.Minute
		})
		close(free)
		eventually(t, "one has ended", func() bool {
			c, err := e.Census(within(t))
			return err == nil && c[0].Running == 0 && c[0].Oldest.IsZero()
		})
	})
}
