package ratelimit_test

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/security"
)

// The properties of section R of the limiter's contract, for every store:
//
//	R1  over any time, admitted ≤ burst + rate·time + 1
//	R2  a client at 0.9 of the rate is never refused
//	R3  RetryAfter is honest: after it the call passes, a tick earlier it does not
//	R4  Remaining is never negative, does not grow without time, looking is free, n parallel calls on k remaining pass k times
func TestProperties(t *testing.T) {
	t.Parallel()
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := localRig(t)
			rapid.Check(bubbled{t}, func(rt *rapid.T) { history(rt, r, 40, time.Second) })
			steady(t, r, security.Limit{Events: 30, Per: time.Second, Burst: 3}, time.Minute)
			parallel(t, r)
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		r := miniRig(t)
		rapid.Check(t, func(rt *rapid.T) { history(rt, r, 20, time.Hour) })
		steady(t, r, security.Limit{Events: 30, Per: time.Second, Burst: 3}, time.Minute)
		parallel(t, r)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		r := realRig(t)
		// Real time passes here, so the histories are few and their pauses short.
		for range 5 {
			history(&fixed{t}, r, 40, 20*time.Millisecond)
		}
		steady(t, r, security.Limit{Events: 200, Per: time.Second, Burst: 20}, 2*time.Second)
		parallel(t, r)
	})
}

// bubbled hides that a test has a deadline, which may not be asked for in a bubble.
type bubbled struct{ *testing.T }

type tb interface {
	require.TestingT
	Context() context.Context
}

// fixed runs a history without rapid, from its own example generators.
type fixed struct{ *testing.T }

func draw[V any](t tb, g *rapid.Generator[V], label string) V {
	if rt, ok := t.(*rapid.T); ok {
		return g.Draw(rt, label)
	}
	return g.Example()
}

type admission struct{ from, to time.Duration }

// history runs random calls and pauses on a fresh key and checks R1, R3 and R4 on the way.
func history(t tb, r rig, steps int, longest time.Duration) {
	limit := security.Limit{
		Events: draw(t, rapid.IntRange(1, 50), "events"),
		Per:    draw(t, rapid.SampledFrom([]time.Duration{longest / 7, longest / 3, longest}), "per"),
		Burst:  draw(t, rapid.IntRange(0, 10), "burst"),
	}
	burst, key := limit.EffectiveBurst(), rand.Text()
	var admitted []admission
	last := security.LimitResult{Remaining: burst}
	for range steps {
		pause := time.Duration(draw(t, rapid.SampledFrom([]int64{0, 0, 0, 1, 3, 50}), "pause")) * limit.Interval() / 4
		if pause > 0 {
			r.sleep(pause)
		}
		n := draw(t, rapid.SampledFrom([]int{0, 1, 1, 1, 2, burst}), "n")
		n = min(n, burst)
		from := r.now()
		got, err := r.AllowN(t.Context(), key, limit, n)
		to := r.now()
		require.NoError(t, err)
		require.False(t, got.Degraded)
		require.Equal(t, burst, got.Limit)
		require.GreaterOrEqual(t, got.Remaining, 0)
		require.LessOrEqual(t, got.Remaining, burst)
		require.GreaterOrEqual(t, got.ResetAfter, time.Duration(0))
		require.Equal(t, got.Allowed, got.RetryAfter == 0)
		if r.frozen && pause == 0 {
			switch {
			case n == 0 || !got.Allowed:
				require.Equal(t, last.Remaining, got.Remaining, "looking and being refused are free")
			default:
				require.Equal(t, last.Remaining-n, got.Remaining)
			}
		}
		if got.Allowed {
			for range n {
				admitted = append(admitted, admission{from, to})
			}
		} else if n > 0 {
			admitted = append(admitted, honest(t, r, key, limit, n, got)...)
		}
		if last, err = r.AllowN(t.Context(), key, limit, 0); err != nil {
			require.NoError(t, err)
		}
	}
	for i := range admitted {
		for j := i; j < len(admitted); j++ {
			passed := admitted[j].to - admitted[i].from
			most := float64(burst) + float64(limit.Events)*passed.Seconds()/limit.Per.Seconds() + 1
			require.LessOrEqual(t, float64(j-i+1), most, "R1: calls %d to %d in %v under %v", i, j, passed, limit)
		}
	}
}

// honest checks R3 after a refusal.
func honest(t tb, r rig, key string, limit security.Limit, n int, refused security.LimitResult) []admission {
	tick := time.Microsecond
	if r.frozen {
		r.sleep(refused.RetryAfter - tick)
		early, err := r.AllowN(t.Context(), key, limit, n)
		require.NoError(t, err)
		require.False(t, early.Allowed, "R3: a tick before RetryAfter")
		require.Equal(t, tick, early.RetryAfter)
		r.sleep(tick)
	} else {
		r.sleep(refused.RetryAfter)
	}
	from := r.now()
	late, err := r.AllowN(t.Context(), key, limit, n)
	require.NoError(t, err)
	require.True(t, late.Allowed, "R3: after RetryAfter of %v under %v", refused.RetryAfter, limit)
	out := make([]admission, n)
	for i := range out {
		out[i] = admission{from, r.now()}
	}
	return out
}

// steady checks R2: an open-loop client at 0.9 of the rate.
func steady(t *testing.T, r rig, limit security.Limit, length time.Duration) {
	t.Helper()
	key, interval := rand.Text(), limit.Interval()*10/9
	began := r.now()
	for i, next := 0, began; next < began+length; i++ {
		if wait := next - r.now(); wait > 0 {
			r.sleep(wait)
		}
		// A busy machine may wake us late; calls that were missed are not made up for, which would be another rate.
		next = max(next, r.now()) + interval
		got, err := r.Allow(t.Context(), key, limit)
		require.NoError(t, err)
		require.True(t, got.Allowed, "R2: call %d", i)
	}
}

// parallel checks R4: of many calls at once exactly as many pass as remain. The limit is so slow that no call comes back.
func parallel(t *testing.T, r rig) {
	t.Helper()
	for _, remaining := range []int{1, 7, 40} {
		limit := security.Limit{Events: 40, Per: 24 * time.Hour}
		key := rand.Text()
		if used := 40 - remaining; used > 0 {
			_, err := r.AllowN(t.Context(), key, limit, used)
			require.NoError(t, err)
		}
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					if got, err := r.Allow(t.Context(), key, limit); err == nil && got.Allowed {
						passed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, remaining, passed.Load())
	}
}
