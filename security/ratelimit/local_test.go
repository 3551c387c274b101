package ratelimit_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
)

// S-RL-3: however many keys arrive, memory is bounded, and the keys in use are the ones kept.
func TestLocalIsBounded(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 100, 10_000} {
		l, err := ratelimit.NewLocal(ratelimit.LocalConfig{MaxKeys: most})
		require.NoError(t, err)
		limit := security.Limit{Events: 1, Per: time.Hour}
		for i := range 3*most + 100 {
			r, err := l.Allow(t.Context(), fmt.Sprint("flood ", i), limit)
			require.NoError(t, err)
			require.True(t, r.Allowed)
			if most > 1 {
				r, err = l.Allow(t.Context(), "busy", limit)
				require.NoError(t, err)
				require.Equal(t, i == 0, r.Allowed, "a key that is used is not forgotten")
			}
			if i%97 == 0 {
				require.LessOrEqual(t, l.Len(), most)
			}
		}
	}
}

// Keys that are as good as fresh make room by themselves.
func TestLocalForgetsOldKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, err := ratelimit.NewLocal(ratelimit.LocalConfig{MaxKeys: 1000})
		require.NoError(t, err)
		limit := security.Limit{Events: 1, Per: time.Second}
		for i := range 500 {
			_, err := l.Allow(t.Context(), fmt.Sprint("a", i), limit)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		for i := range 250 {
			_, err := l.Allow(t.Context(), fmt.Sprint("b", i), limit)
			require.NoError(t, err)
		}
		require.Equal(t, 250, l.Len())
	})
}

// S-RL-4: costs and limits that make no sense are errors, and never a way in.
func TestBadCalls(t *testing.T) {
	t.Parallel()
	l, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	good := security.Limit{Events: 10, Per: time.Second, Burst: 5}
	for _, n := range []int{-1, 6} {
		r, err := l.AllowN(t.Context(), "k", good, n)
		require.Error(t, err)
		require.False(t, r.Allowed)
	}
	for _, bad := range []security.Limit{{}, {Events: -1, Per: time.Second}, {Events: 1}, {Events: 1, Per: time.Hour, Burst: -1}} {
		r, err := l.Allow(t.Context(), "k", bad)
		require.Error(t, err)
		require.False(t, r.Allowed)
	}
	require.Zero(t, l.Len())
	for _, most := range []int{-1, 10_000_001} {
		_, err := ratelimit.NewLocal(ratelimit.LocalConfig{MaxKeys: most})
		require.Error(t, err)
	}
}

// A limit that changes at run time keeps the key's state, and nobody waits longer than the new limit says.
func TestLimitChangesAtRunTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
		require.NoError(t, err)
		slow, fast := security.Limit{Events: 2, Per: 24 * time.Hour}, security.Limit{Events: 10, Per: time.Second}
		_, err = l.AllowN(t.Context(), "k", slow, 2)
		require.NoError(t, err)
		r, err := l.Allow(t.Context(), "k", fast)
		require.NoError(t, err)
		require.False(t, r.Allowed, "a new limit is no gift")
		require.Equal(t, 100*time.Millisecond, r.RetryAfter)
		time.Sleep(r.RetryAfter)
		r, err = l.Allow(t.Context(), "k", fast)
		require.NoError(t, err)
		require.True(t, r.Allowed)
	})
}

func BenchmarkLocal(b *testing.B) {
	l, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(b, err)
	limit := security.Limit{Events: 1000, Per: time.Second}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = l.Allow(b.Context(), "k", limit)
	}
}
