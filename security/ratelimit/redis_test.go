package ratelimit_test

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
)

var tenPerHour = security.Limit{Events: 10, Per: time.Hour}

// F-RDS-1: while Redis is away each mode does what it declares, and counting goes on when it is back.
func TestModesWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	var states []bool
	var failures atomic.Int64
	began := time.Now()
	local, err := ratelimit.NewRedis(ratelimit.RedisConfig{Hooks: ratelimit.Hooks{
		OnError: func(context.Context, error) { failures.Add(1) },
		OnState: func(_ context.Context, up bool) { states = append(states, up) },
	}}, client(t, server.Addr()))
	require.NoError(t, err)
	closed, err := local.With(ratelimit.FailClosed)
	require.NoError(t, err)
	open, err := local.With(ratelimit.FailOpen)
	require.NoError(t, err)
	for _, l := range []*ratelimit.Redis{local, closed, open} {
		l.SetTimeout(5 * time.Second)
	}
	r, err := closed.AllowN(t.Context(), "k", tenPerHour, 4)
	require.NoError(t, err)
	require.Equal(t, 6, r.Remaining)
	require.False(t, r.Degraded)

	server.Close()
	for range 20 {
		r, err = closed.Allow(t.Context(), "k", tenPerHour)
		require.ErrorIs(t, err, security.ErrUnavailable)
		require.False(t, r.Allowed)
		require.Positive(t, r.RetryAfter)
		r, err = open.Allow(t.Context(), "k", tenPerHour)
		require.NoError(t, err)
		require.True(t, r.Allowed)
		require.True(t, r.Degraded)
	}
	// R5: the fallback counts too.
	allowed := 0
	for range 20 {
		r, err = local.Allow(t.Context(), "k", tenPerHour)
		require.NoError(t, err)
		require.True(t, r.Degraded)
		if r.Allowed {
			allowed++
		}
	}
	require.Equal(t, 10, allowed)
	require.Equal(t, []bool{false}, states)
	// After three failures Redis is left alone, but for a probe now and then.
	require.LessOrEqual(t, failures.Load(), 3+int64(time.Since(began)/time.Second))

	require.NoError(t, server.Restart())
	require.Eventually(t, func() bool {
		r, err := closed.Allow(t.Context(), "k", tenPerHour)
		return err == nil && r.Allowed && !r.Degraded
	}, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, []bool{false, true}, states)
}

// F-RDS-2: a Redis that takes connections and never answers costs a call its deadline, a few times, and then nothing.
func TestHangingRedis(t *testing.T) {
	t.Parallel()
	// A client as people have it, with its three retries.
	c := redis.NewClient(&redis.Options{Addr: blackHole(t), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	var asked atomic.Int64
	l, err := ratelimit.NewRedis(ratelimit.RedisConfig{
		OnUnavailable: ratelimit.FailOpen,
		Hooks:         ratelimit.Hooks{OnError: func(context.Context, error) { asked.Add(1) }},
	}, c)
	require.NoError(t, err)
	var wg sync.WaitGroup
	began := time.Now()
	for range 20 {
		wg.Go(func() {
			for range 50 {
				r, err := l.Allow(t.Context(), "k", tenPerHour)
				if err != nil || !r.Allowed || !r.Degraded {
					t.Error(r, err)
				}
			}
		})
	}
	wg.Wait()
	// Of 1000 calls, those that were under way when the breaker opened paid, and the probes since.
	require.LessOrEqual(t, asked.Load(), 20+3+int64(time.Since(began)/time.Second)+1)
}

// blackHole accepts connections and never says a word.
func blackHole(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return listener.Addr().String()
}

// A caller who gives up says nothing about Redis: the breaker stays closed.
func TestCallersCancelIsNoFailure(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	l := newRedis(t, server.Addr())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		r, err := l.Allow(gone, "k", tenPerHour)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, r.Allowed)
	}
	r, err := l.Allow(t.Context(), "k", tenPerHour)
	require.NoError(t, err)
	require.Equal(t, 9, r.Remaining)
}

// Callers whose own deadline is a little shorter than the limiter's still find out that Redis hangs.
func TestHangingRedisIsNoticedByCallersInAHurry(t *testing.T) {
	t.Parallel()
	hanging := client(t, "127.0.0.1:1")
	hanging.AddHook(hang{})
	var states []bool
	l, err := ratelimit.NewRedis(ratelimit.RedisConfig{
		Hooks: ratelimit.Hooks{OnState: func(_ context.Context, up bool) { states = append(states, up) }},
	}, hanging)
	require.NoError(t, err)
	for range 3 {
		hurry, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		_, err := l.Allow(hurry, "k", tenPerHour)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	require.Equal(t, []bool{false}, states)
}

// hang makes a client answer nothing until its caller gives up.
type hang struct{}

func (hang) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hang) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		<-ctx.Done()
		cmd.SetErr(ctx.Err())
		return ctx.Err()
	}
}

func (hang) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// F-RDS-3: a server that forgot the script, or everything, is served on; a key of another type is no way in.
func TestRedisForgets(t *testing.T) {
	t.Parallel()
	addr := redisAddr(t)
	c := client(t, addr)
	l, err := ratelimit.NewRedis(ratelimit.RedisConfig{Namespace: "test", OnUnavailable: ratelimit.FailClosed}, c)
	require.NoError(t, err)
	l.SetTimeout(30 * time.Second)
	key := rand.Text()
	r, err := l.AllowN(t.Context(), key, tenPerHour, 10)
	require.NoError(t, err)
	require.True(t, r.Allowed)
	require.NoError(t, c.ScriptFlush(t.Context()).Err())
	r, err = l.Allow(t.Context(), key, tenPerHour)
	require.NoError(t, err)
	require.False(t, r.Allowed, "the count survived the loss of the script")

	ttl, err := c.PTTL(t.Context(), "test:"+key).Result()
	require.NoError(t, err)
	require.Greater(t, ttl, 50*time.Minute)
	require.LessOrEqual(t, ttl, time.Hour)

	require.NoError(t, c.Del(t.Context(), "test:"+key).Err())
	r, err = l.AllowN(t.Context(), key, tenPerHour, 10)
	require.NoError(t, err)
	require.True(t, r.Allowed, "one extra burst")

	for _, junk := range []string{"nan", "inf", "-inf", "x", "", "1e300"} {
		require.NoError(t, c.Set(t.Context(), "test:"+key, junk, time.Minute).Err())
		r, err = l.AllowN(t.Context(), key, tenPerHour, 0)
		require.NoError(t, err, junk)
		require.LessOrEqual(t, r.ResetAfter, time.Hour, junk)
		require.GreaterOrEqual(t, r.Remaining, 0, junk)
	}
	require.NoError(t, c.Del(t.Context(), "test:"+key).Err())
	require.NoError(t, c.LPush(t.Context(), "test:"+key, "x").Err())
	r, err = l.Allow(t.Context(), key, tenPerHour)
	require.ErrorIs(t, err, security.ErrUnavailable)
	require.False(t, r.Allowed)
	require.NoError(t, c.Del(t.Context(), "test:"+key).Err())
}

// F-CLK-1, F-RDS-3: a server's clock that jumps, as after a fail-over, neither freezes a key nor opens it for more than a
// burst.
func TestRedisClockJumps(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{-time.Hour, time.Hour, -56 * 365 * 24 * time.Hour, 12 * 365 * 24 * time.Hour} {
		r := miniRig(t)
		limit := security.Limit{Events: 10, Per: time.Second}
		_, err := r.AllowN(t.Context(), "k", limit, 10)
		require.NoError(t, err)
		r.sleep(jump)
		got, err := r.AllowN(t.Context(), "k", limit, 1)
		require.NoError(t, err)
		require.LessOrEqual(t, got.RetryAfter, 100*time.Millisecond)
		if !got.Allowed {
			r.sleep(got.RetryAfter)
			got, err = r.Allow(t.Context(), "k", limit)
			require.NoError(t, err)
			require.True(t, got.Allowed)
		}
	}
}

func TestRedisConfigProblems(t *testing.T) {
	t.Parallel()
	good := client(t, "127.0.0.1:1")
	deaf := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = deaf.Close() })
	_, err := ratelimit.NewRedis(ratelimit.RedisConfig{}, deaf)
	require.ErrorContains(t, err, "ContextTimeoutEnabled")
	_, err = ratelimit.NewRedis(ratelimit.RedisConfig{}, nil)
	require.ErrorContains(t, err, "nil")
	_, err = ratelimit.NewRedis(ratelimit.RedisConfig{
		Namespace: "a:b", Timeout: time.Second, OnUnavailable: 7, Fallback: ratelimit.LocalConfig{MaxKeys: -1},
	}, good)
	for _, part := range []string{"Namespace", "Timeout", "OnUnavailable", "MaxKeys"} {
		require.ErrorContains(t, err, part)
	}
	l, err := ratelimit.NewRedis(ratelimit.RedisConfig{}, good)
	require.NoError(t, err)
	_, err = l.With(-1)
	require.Error(t, err)
}
