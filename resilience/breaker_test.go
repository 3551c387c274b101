package resilience_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/resilience"
)

func opened(t *testing.T, b resilience.Breaker) *resilience.Policy {
	t.Helper()
	p := newPolicy(t, resilience.Config{Breaker: b})
	for p.State().Breaker == resilience.Closed {
		_, err := call(t.Context(), p, errDown)
		require.ErrorIs(t, err, errDown)
	}
	return p
}

// TestHalfOpenAdmitsExactlyTheProbes (B1): of many callers at once N reach the dependency, no more, also after some have answered.
func TestHalfOpenAdmitsExactlyTheProbes(t *testing.T) {
	t.Parallel()
	for _, probes := range []int{1, 2, 7} {
		synctest.Test(t, func(t *testing.T) {
			p := opened(t, resilience.Breaker{Failures: 1, Cooldown: time.Second, Probes: probes})
			time.Sleep(time.Second)
			var reached, refused atomic.Int64
			release := make(chan struct{})
			var wg sync.WaitGroup
			crowd := func() {
				for range 64 {
					wg.Go(func() {
						_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) {
							reached.Add(1)
							<-release
							return 1, nil
						})
						if err != nil {
							refused.Add(1)
						}
					})
				}
				synctest.Wait()
			}
			crowd()
			require.EqualValues(t, probes, reached.Load())
			require.EqualValues(t, 64-probes, refused.Load())
			for answered := 1; answered < probes; answered++ { // an answer is no room for one more
				release <- struct{}{}
				synctest.Wait()
				crowd()
				require.EqualValues(t, probes, reached.Load())
			}
			require.Equal(t, resilience.HalfOpen, p.State().Breaker)
			close(release)
			wg.Wait()
			require.Equal(t, resilience.Closed, p.State().Breaker)
		})
	}
}

func TestFailuresLeaveTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Breaker: resilience.Breaker{Failures: 3, Window: 10 * time.Second}})
		for range 20 { // one failure each 6 seconds: never three within ten
			_, _ = call(t.Context(), p, errDown)
			time.Sleep(6 * time.Second)
		}
		require.Equal(t, resilience.Closed, p.State().Breaker)
		for range 3 {
			_, _ = call(t.Context(), p, errDown)
		}
		require.Equal(t, resilience.Open, p.State().Breaker)
	})
}

func TestRefusalTellsPolicyAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := opened(t, resilience.Breaker{Failures: 1, Cooldown: 5 * time.Second})
		time.Sleep(2 * time.Second)
		reached, err := call(t.Context(), p, nil)
		require.False(t, reached)
		require.EqualError(t, err, `resilience: policy "dep": circuit open (try again in 3s)`)
		var refusal *resilience.Error
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, 3*time.Second, refusal.RetryAfter())
	})
}

// TestCancelledProbeGivesItsPlaceBack: a caller that gives up half-open must not use up the only probe.
func TestCancelledProbeGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := opened(t, resilience.Breaker{Failures: 1, Cooldown: time.Second})
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
			cancel()
			return 0, ctx.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, resilience.HalfOpen, p.State().Breaker)
		reached, err := call(t.Context(), p, nil)
		require.NoError(t, err)
		require.True(t, reached)
		require.Equal(t, resilience.Closed, p.State().Breaker)
	})
}

func TestPanicAndGoexitReleaseEverything(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, resilience.Config{Bulkhead: resilience.Bulkhead{Max: 1}, Breaker: resilience.Breaker{Failures: 1}})
	require.PanicsWithValue(t, "boom", func() {
		_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { panic("boom") })
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = resilience.Do(t.Context(), p, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
	}()
	<-done
	require.Zero(t, p.State().InFlight)
	require.Equal(t, resilience.Closed, p.State().Breaker)
	reached, err := call(t.Context(), p, nil)
	require.NoError(t, err)
	require.True(t, reached)
}

func TestForcedStatesEndByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []resilience.StateChange
		p := newPolicy(t, resilience.Config{
			Breaker: resilience.Breaker{Failures: 1},
			Hooks:   resilience.Hooks{StateChange: func(c resilience.StateChange) { changes = append(changes, c) }},
		})
		require.Error(t, p.ForceOpen(0))
		require.Error(t, p.ForceClosed(25*time.Hour))
		require.NoError(t, p.ForceOpen(time.Minute))
		reached, err := call(t.Context(), p, nil)
		require.ErrorIs(t, err, resilience.ErrOpen)
		require.False(t, reached)
		require.True(t, p.State().Forced)

		time.Sleep(time.Minute)
		require.Equal(t, resilience.State{Policy: "dep", RetryTokens: 10}, p.State())

		require.NoError(t, p.ForceClosed(time.Minute))
		for range 5 {
			reached, _ = call(t.Context(), p, errDown)
			require.True(t, reached)
		}
		p.Unforce()
		p.Unforce()
		require.Equal(t, resilience.Closed, p.State().Breaker, "failures under an order are not held against it")

		require.Len(t, changes, 2)
		for i, want := range []resilience.BreakerState{resilience.Open, resilience.Closed} {
			require.True(t, changes[i].Forced)
			require.Equal(t, want, changes[i].To)
		}
	})
}

// TestHookMayCallBack: transitions are delivered without a lock, in order, also when a hook causes the next one.
func TestHookMayCallBack(t *testing.T) {
	t.Parallel()
	var p *resilience.Policy
	var to []resilience.BreakerState
	p = newPolicy(t, resilience.Config{
		Breaker: resilience.Breaker{Failures: 1},
		Hooks: resilience.Hooks{StateChange: func(c resilience.StateChange) {
			to = append(to, c.To)
			if len(to) == 1 {
				_ = p.ForceClosed(time.Minute)
				_, _ = call(context.Background(), p, nil)
			}
		}},
	})
	_, _ = call(t.Context(), p, errDown)
	require.Equal(t, []resilience.BreakerState{resilience.Open, resilience.Closed}, to)
}

func BenchmarkRefused(b *testing.B) {
	p := newPolicy(b, resilience.Config{})
	require.NoError(b, p.ForceOpen(time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = call(b.Context(), p, nil)
	}
}

func BenchmarkClosed(b *testing.B) {
	p := newPolicy(b, resilience.Config{Bulkhead: resilience.Bulkhead{Max: 8}})
	b.ReportAllocs()
	for b.Loop() {
		_, _ = call(b.Context(), p, nil)
	}
}
