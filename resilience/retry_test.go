package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/resilience"
)

type comeBack struct{ after time.Duration }

func (e comeBack) Error() string             { return "busy" }
func (e comeBack) RetryAfter() time.Duration { return e.after }

func TestOnlyIdempotentFailuresAreRepeated(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err      error
		opts     []resilience.Option
		disable  bool
		attempts int
	}{
		"unmarked":            {err: errDown, attempts: 1},
		"marked":              {err: errDown, opts: []resilience.Option{resilience.Idempotent()}, attempts: 3},
		"marked but disabled": {err: errDown, opts: []resilience.Option{resilience.Idempotent()}, disable: true, attempts: 1},
		"permanent":           {err: resilience.Permanent(errDown), opts: []resilience.Option{resilience.Idempotent()}, attempts: 1},
		"asks for too long":   {err: comeBack{time.Minute}, opts: []resilience.Option{resilience.Idempotent()}, attempts: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPolicy(t, resilience.Config{Retry: resilience.Retry{Disable: tt.disable}})
				attempts := 0
				_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { attempts++; return 0, tt.err }, tt.opts...)
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.attempts, attempts)
			})
		})
	}
}

func TestWaitsDoubleUpToTheCap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := func(r resilience.Retry) (waits []time.Duration) {
			r.Max, r.First, r.Cap, r.Budget = 4, 100*time.Millisecond, 500*time.Millisecond, 100
			p := newPolicy(t, resilience.Config{Retry: r, Breaker: resilience.Breaker{Disable: true}, Hooks: resilience.Hooks{
				Retry: func(_ context.Context, e resilience.RetryEvent) { waits = append(waits, e.Delay) },
			}})
			_, err := call(t.Context(), p, errDown, resilience.Idempotent())
			require.ErrorIs(t, err, errDown)
			return waits
		}
		const ms = time.Millisecond
		bounds := []time.Duration{100 * ms, 200 * ms, 400 * ms, 500 * ms}
		require.Equal(t, bounds, waits(resilience.Retry{DisableJitter: true}))
		lowest, sum := time.Hour, time.Duration(0)
		for range 200 {
			for i, w := range waits(resilience.Retry{}) {
				require.LessOrEqual(t, w, bounds[i])
				sum += w
				if i == 3 {
					lowest = min(lowest, w)
				}
			}
		}
		require.Less(t, lowest, 100*ms, "full jitter reaches down to nothing")
		require.InDelta(t, (600 * ms).Seconds(), (sum / 200).Seconds(), 0.1, "half of the bounds on average")
	})
}

func TestRetryAfterIsTheLeastWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{})
		start := time.Now()
		_, err := call(t.Context(), p, comeBack{3 * time.Second}, resilience.Idempotent())
		require.ErrorIs(t, err, comeBack{3 * time.Second})
		require.Equal(t, 6*time.Second, time.Since(start))
	})
}

// TestBudgetHoldsInAnOutage (T1): however long the dependency is down, it gets calls + budget, not a multiple.
func TestBudgetHoldsInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refusals := 0
		p := newPolicy(t, resilience.Config{
			Retry: resilience.Retry{Max: 5, Budget: 0.1}, Breaker: resilience.Breaker{Disable: true},
			Hooks: resilience.Hooks{Rejection: func(_ context.Context, e resilience.RejectionEvent) {
				require.Equal(t, resilience.ReasonBudget, e.Reason)
				refusals++
			}},
		})
		attempts := 0
		for range 2000 {
			_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { attempts++; return 0, errDown },
				resilience.Idempotent())
			require.ErrorIs(t, err, errDown)
		}
		require.LessOrEqual(t, attempts, 2000+200+10)
		require.Greater(t, attempts, 2000+190, "and the budget is used")
		require.Positive(t, refusals)
	})
}

// TestNothingOutlivesTheCallersDeadline (T1): attempts, waits and timeouts together end by the deadline, and no attempt
// begins after it.
func TestNothingOutlivesTheCallersDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{
			Timeout: 300 * time.Millisecond,
			Retry:   resilience.Retry{Max: 100, Budget: 100, First: 50 * time.Millisecond},
			Breaker: resilience.Breaker{Disable: true}, Bulkhead: resilience.Bulkhead{Max: 1, Wait: time.Hour},
		})
		for i := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(100+37*i)*time.Millisecond)
			deadline, _ := ctx.Deadline()
			_, err := resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
				require.True(t, time.Now().Before(deadline), "an attempt began after the deadline")
				<-ctx.Done()
				return 0, ctx.Err()
			}, resilience.Idempotent())
			require.False(t, time.Now().After(deadline), "the call outlived its deadline")
			require.Error(t, err)
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		reached, err := call(ctx, p, nil)
		require.False(t, reached)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestCallerMayLeaveDuringTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Retry: resilience.Retry{First: time.Second, DisableJitter: true}})
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("the client hung up")
		time.AfterFunc(400*time.Millisecond, func() { cancel(why) })
		start := time.Now()
		_, err := call(ctx, p, errDown, resilience.Idempotent())
		require.Equal(t, 400*time.Millisecond, time.Since(start))
		for _, want := range []error{context.Canceled, why, errDown} {
			require.ErrorIs(t, err, want)
		}
	})
}
