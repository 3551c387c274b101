package ratelimit_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
)

// counter is what both stores are.
type counter interface {
	security.Limiter
	AllowN(ctx context.Context, key string, l security.Limit, n int) (security.LimitResult, error)
}

// rig is a store together with its clock.
type rig struct {
	counter
	// now is the store's own time. The store's time at a call lies between now before and now after it.
	now func() time.Duration
	// sleep lets the store's time pass.
	sleep func(time.Duration)
	// frozen says that time passes in sleep only, so that results can be compared exactly.
	frozen bool
}

// localRig is for use in a synctest bubble, where time passes in sleep only.
func localRig(t testing.TB) rig {
	t.Helper()
	l, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	began := time.Now()
	return rig{counter: l, now: func() time.Duration { return time.Since(began) }, sleep: time.Sleep, frozen: true}
}

func client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newRedis makes a limiter that fails closed, so that no test passes on a fallback.
func newRedis(t testing.TB, addr string) *ratelimit.Redis {
	t.Helper()
	l, err := ratelimit.NewRedis(ratelimit.RedisConfig{
		Namespace: "test." + rand.Text(), OnUnavailable: ratelimit.FailClosed,
	}, client(t, addr))
	require.NoError(t, err)
	l.SetTimeout(30 * time.Second)
	return l
}

// miniRig sets the clock of a Redis stand-in by hand; its keys expire by the same clock.
func miniRig(t testing.TB) rig {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	began := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	now := began
	m.SetTime(now)
	return rig{
		counter: newRedis(t, m.Addr()), frozen: true,
		now: func() time.Duration { return now.Sub(began) },
		sleep: func(d time.Duration) {
			now = now.Add(d)
			m.SetTime(now)
		},
	}
}

// redisAddr is where a real Redis is: MMF_TEST_REDIS_ADDR. It skips the test without one, and fails it when
// MMF_TEST_REQUIRE is 1.
func redisAddr(t testing.TB) string {
	t.Helper()
	addr := os.Getenv("MMF_TEST_REDIS_ADDR")
	if addr == "" {
		if os.Getenv("MMF_TEST_REQUIRE") == "1" {
			t.Fatal("MMF_TEST_REQUIRE=1 and MMF_TEST_REDIS_ADDR is empty: set it to the host:port of a Redis server")
		}
		t.Skip("set MMF_TEST_REDIS_ADDR to the host:port of a Redis server")
	}
	return addr
}

// realRig is a Redis server with its own clock.
func realRig(t testing.TB) rig {
	t.Helper()
	addr := redisAddr(t)
	c := client(t, addr)
	began, err := c.Time(t.Context()).Result()
	require.NoError(t, err)
	return rig{
		counter: newRedis(t, addr), sleep: time.Sleep,
		now: func() time.Duration {
			at, err := c.Time(context.Background()).Result()
			require.NoError(t, err)
			return at.Sub(began)
		},
	}
}
