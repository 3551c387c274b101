package ratelimit

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/security"
)

// Script and Go code take the same decisions to the microsecond, also while the limit of a key changes.
func TestScriptAndGoAgree(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	server.ClockTTL(true)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	limiter, err := NewRedis(RedisConfig{}, client)
	require.NoError(t, err)
	limiter.SetTimeout(30 * time.Second)
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
		key, tat := rand.Text(), int64(0)
		for range 20 {
			limit := security.Limit{
				Events: rapid.IntRange(1, 1000).Draw(t, "events"),
				Per:    rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "per"),
				Burst:  rapid.IntRange(1, 20).Draw(t, "burst"),
			}
			n := rapid.IntRange(0, limit.Burst).Draw(t, "n")
			now = now.Add(time.Duration(rapid.Int64Range(0, 3_000_000).Draw(t, "pause")) * time.Microsecond)
			server.SetTime(now)
			c, err := prepare(limit, n)
			require.NoError(t, err)

			allowed, store, ahead := c.advance(now.UnixMicro(), tat, int64(n))
			if store {
				tat = now.UnixMicro() + ahead
			}
			gotAllowed, gotAhead, err := limiter.ask(context.Background(), c, key, n)
			require.NoError(t, err)
			require.Equal(t, allowed, gotAllowed)
			require.Equal(t, ahead, gotAhead)
			require.LessOrEqual(t, c.result(allowed, ahead, int64(n)).RetryAfter, time.Duration(c.window)*time.Microsecond)
		}
	})
}

// S-INJ-1: different keys, and keys of different namespaces, are different in Redis, and nothing in a key has a meaning.
func FuzzRedisKeyIsInjective(f *testing.F) {
	f.Add("a", "a:b", "a", "a%3Ab")
	f.Add("a", "{x}", "a", "%7Bx%7D")
	f.Add("a.b", "c", "a", "b.c")
	f.Add("a", "\x00", "a", "")
	f.Fuzz(func(t *testing.T, ns1, k1, ns2, k2 string) {
		if !validNamespace(ns1) || !validNamespace(ns2) {
			t.Skip()
		}
		a, b := redisKey(ns1, k1), redisKey(ns2, k2)
		require.Equal(t, ns1 == ns2 && k1 == k2, a == b)
		require.NotContains(t, a, "{")
		require.Regexp(t, `^[\x21-\x7e]*$`, a)
		require.LessOrEqual(t, len(a), 64+1+3*maxRawKey)
	})
}

func TestLongKeysStayApart(t *testing.T) {
	t.Parallel()
	long := make([]byte, 10<<10)
	a := compact(string(long))
	long[len(long)-1] = 1
	b := compact(string(long))
	require.NotEqual(t, a, b)
	require.Greater(t, len(a), maxRawKey, "or a short key could be chosen to be the same")
	require.Equal(t, compact(a), compact(a))
	require.NotEqual(t, a, compact(a), "a key that looks like a hash is hashed again")
}
