package resilience_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/resilience"
)

// TestOrderOfPolicies holds the documented order: fallback > retry > breaker > bulkhead > timeout.
func TestOrderOfPolicies(t *testing.T) {
	t.Parallel()

	t.Run("retry asks the breaker anew", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPolicy(t, resilience.Config{Retry: resilience.Retry{Max: 5}, Breaker: resilience.Breaker{Failures: 2}})
			attempts := 0
			_, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { attempts++; return 0, errDown },
				resilience.Idempotent())
			require.ErrorIs(t, err, resilience.ErrOpen)
			require.ErrorIs(t, err, errDown, "the reason is told with the refusal")
			require.Equal(t, 2, attempts)
		})
	})

	t.Run("breaker does not count the bulkhead", func(t *testing.T) {
		t.Parallel()
		p := newPolicy(t, resilience.Config{Bulkhead: resilience.Bulkhead{Max: 1}, Breaker: resilience.Breaker{Failures: 1}})
		_, err := resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) {
			_, err := call(ctx, p, nil, resilience.Idempotent())
			require.ErrorIs(t, err, resilience.ErrRejected)
			require.EqualError(t, err, `resilience: policy "dep": bulkhead full`)
			return 1, nil
		})
		require.NoError(t, err)
		require.Equal(t, resilience.Closed, p.State().Breaker)
	})

	t.Run("timeout does not run while waiting for a permit", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPolicy(t, resilience.Config{Timeout: time.Second, Bulkhead: resilience.Bulkhead{Max: 1, Wait: time.Minute}})
			work := func() error {
				_, err := resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) {
					select {
					case <-time.After(900 * time.Millisecond):
						return 1, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				})
				return err
			}
			errs := make(chan error, 3)
			for range 3 {
				go func() { errs <- work() }()
			}
			for range 3 {
				require.NoError(t, <-errs)
			}
		})
	})

	t.Run("fallback sees the end of all attempts", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			p := newPolicy(t, resilience.Config{Timeout: time.Second})
			attempts := 0
			got, err := resilience.DoOr(t.Context(), p,
				func(ctx context.Context) (string, error) { attempts++; <-ctx.Done(); return "", ctx.Err() },
				func(ctx context.Context, cause error) (string, error) {
					require.NoError(t, ctx.Err(), "the timeout does not cover the fallback")
					require.ErrorIs(t, cause, resilience.ErrTimeout)
					return "cached", nil
				}, resilience.Idempotent())
			require.NoError(t, err)
			require.Equal(t, "cached", got)
			require.Equal(t, 3, attempts)
		})
	})
}

func TestFallbackIsForFailuresOnly(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, resilience.Config{})
	never := func(context.Context, error) (int, error) { t.Error("no fallback here"); return 0, nil }
	_, err := resilience.DoOr(t.Context(), p, func(context.Context) (int, error) { return 0, resilience.Permanent(errDown) }, never)
	require.ErrorIs(t, err, errDown)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = resilience.DoOr(ctx, p, func(ctx context.Context) (int, error) { cancel(); return 0, ctx.Err() }, never)
	require.ErrorIs(t, err, context.Canceled)

	second := errors.New("the cache is empty")
	_, err = resilience.DoOr(t.Context(), p, func(context.Context) (int, error) { return 0, errDown },
		func(context.Context, error) (int, error) { return 0, second })
	require.ErrorIs(t, err, errDown)
	require.ErrorIs(t, err, second)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Timeout: time.Second, Breaker: resilience.Breaker{Failures: 1}})

		got, err := resilience.Do(t.Context(), p, func(context.Context) (int, error) { time.Sleep(2 * time.Second); return 7, nil })
		require.NoError(t, err, "a result that came late is still a result")
		require.Equal(t, 7, got)

		start := time.Now()
		_, err = resilience.Do(t.Context(), p, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, err, resilience.ErrTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, resilience.Open, p.State().Breaker)
	})
}

// TestCallersDeadlineIsNotTheDependencysFault: impatient callers must not open the breaker.
func TestCallersDeadlineIsNotTheDependencysFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var outcomes []resilience.Outcome
		p := newPolicy(t, resilience.Config{Breaker: resilience.Breaker{Failures: 1}, Hooks: resilience.Hooks{
			Call: func(_ context.Context, e resilience.CallEvent) { outcomes = append(outcomes, e.Outcome) },
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := resilience.Do(ctx, p, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, errors.New("connection closed") },
			resilience.Idempotent())
		require.Error(t, err)
		require.NotErrorIs(t, err, resilience.ErrTimeout)
		require.Equal(t, []resilience.Outcome{resilience.OutcomeIgnored}, outcomes)
		require.Equal(t, resilience.Closed, p.State().Breaker)
	})
}

func TestCallEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last resilience.CallEvent
		p := newPolicy(t, resilience.Config{
			Classify: func(err error) resilience.Outcome {
				if errors.Is(err, errDown) {
					return resilience.OutcomeSuccess
				}
				return resilience.Outcome(99) // unknown values are failures
			},
			Breaker: resilience.Breaker{Failures: 3},
			Hooks:   resilience.Hooks{Call: func(_ context.Context, e resilience.CallEvent) { last = e }},
		})
		_, err := call(t.Context(), p, errDown)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, resilience.OutcomeSuccess, last.Outcome)
		_, _ = call(t.Context(), p, errors.New("else"), resilience.Idempotent())
		require.Equal(t, resilience.OutcomeFailure, last.Outcome)
		require.Equal(t, 3, last.Attempts)
		require.Positive(t, last.Duration)
		_, _ = call(t.Context(), p, nil)
		require.Equal(t, resilience.OutcomeOpen, last.Outcome)
		require.Zero(t, last.Attempts)
		require.ErrorIs(t, last.Err, resilience.ErrOpen)
	})
}

func TestNilPolicyIsAnError(t *testing.T) {
	t.Parallel()
	reached, err := call(t.Context(), nil, nil)
	require.ErrorContains(t, err, "policy is nil")
	require.False(t, reached)
}

func TestConfigProblemsAreTold(t *testing.T) {
	t.Parallel()
	_, err := resilience.New(resilience.Config{
		Name: "no spaces", Timeout: -1,
		Retry:    resilience.Retry{Max: -1, First: -1, Cap: -2, Budget: -1},
		Breaker:  resilience.Breaker{Failures: -1, Window: 1, Cooldown: -1, Probes: -1},
		Bulkhead: resilience.Bulkhead{Max: -1, Wait: -1},
	})
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 12, "each problem once")
	require.ErrorContains(t, err, `policy "no spaces": Breaker.Failures must be 1 to 100000, not -1`)
}
