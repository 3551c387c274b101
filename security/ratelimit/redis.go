package ratelimit

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marty-framework/mmf/security"
)

// OnUnavailable declares what a [Redis] limiter answers while its store is away.
type OnUnavailable int

const (
	// LocalFallback counts in the process meanwhile: with n processes up to n times the limit passes. The default.
	LocalFallback OnUnavailable = iota
	// FailClosed answers [security.ErrUnavailable]: nothing passes. For routes that a flood must not reach, such as login.
	FailClosed
	// FailOpen allows every call. For routes where a refusal costs more than a flood.
	FailOpen
)

// String names the mode for logs and route tables.
func (m OnUnavailable) String() string {
	switch m {
	case LocalFallback:
		return "local"
	case FailClosed:
		return "closed"
	case FailOpen:
		return "open"
	default:
		return fmt.Sprintf("mode(%d)", int(m))
	}
}

// MaxTimeout is the longest, and the default, that a call waits for Redis.
const MaxTimeout = 50 * time.Millisecond

// RedisConfig is the configuration of [Redis]; its zero value is usable.
type RedisConfig struct {
	// Namespace is what keys in Redis begin with. Limiters that share it share their counts. Up to 64 of [A-Za-z0-9._-].
	// Default: "mmf.rl".
	Namespace string
	// Timeout is how long a call waits for Redis. Default, and most: 50 ms.
	Timeout time.Duration
	// OnUnavailable is the declared behaviour while Redis is away. Default: LocalFallback. See also [Redis.With].
	OnUnavailable OnUnavailable
	// Fallback sizes the store of LocalFallback.
	Fallback LocalConfig
	// Hooks observe the store.
	Hooks Hooks
}

// Hooks observe a [Redis] limiter. Each is optional, is called on the goroutine of the call it reports and must return
// soon.
type Hooks struct {
	// OnError is called when Redis did not answer a call, or answered with an error.
	OnError func(ctx context.Context, err error)
	// OnState is called when the limiter stops asking Redis (up is false) and when it asks again.
	OnState func(ctx context.Context, up bool)
}

func (c RedisConfig) withDefaults() RedisConfig {
	if c.Namespace == "" {
		c.Namespace = "mmf.rl"
	}
	if c.Timeout == 0 {
		c.Timeout = MaxTimeout
	}
	return c
}

func (c RedisConfig) validate() error {
	var problems []error
	if !validNamespace(c.Namespace) {
		problems = append(problems, fmt.Errorf("ratelimit: Namespace %q is not 1 to 64 of [A-Za-z0-9._-]", c.Namespace))
	}
	if c.Timeout < 0 || c.Timeout > MaxTimeout {
		problems = append(problems, fmt.Errorf("ratelimit: Timeout is %v, allowed is up to %v", c.Timeout, MaxTimeout))
	}
	if c.OnUnavailable < LocalFallback || c.OnUnavailable > FailOpen {
		problems = append(problems, fmt.Errorf("ratelimit: OnUnavailable is %v; use LocalFallback, FailClosed or FailOpen", c.OnUnavailable))
	}
	return errors.Join(problems...)
}

//go:embed script.lua
var scriptText string

// Redis counts in Redis, for all processes that share it. It is safe for concurrent use, starts no goroutine and needs no
// closing; the client stays the caller's.
type Redis struct {
	cfg RedisConfig
	*shared
}

// shared is what a limiter and those made of it by With have in common.
type shared struct {
	client   redis.UniversalClient
	script   *redis.Script
	breaker  breaker
	fallback *Local
}

var _ security.Limiter = (*Redis)(nil)

// NewRedis makes a limiter on client, which may be of a single server, Sentinel, Cluster or Ring. The client must have
// ContextTimeoutEnabled set: without it the client ignores deadlines, and each call to a Redis that hangs would take
// its ReadTimeout (3 s). Nothing is sent before the first call. The error joins every problem.
func NewRedis(cfg RedisConfig, client redis.UniversalClient) (*Redis, error) {
	cfg = cfg.withDefaults()
	fallback, err := NewLocal(cfg.Fallback)
	if err := errors.Join(cfg.validate(), err, checkRedis(client)); err != nil {
		return nil, err
	}
	return &Redis{cfg: cfg, shared: &shared{client: client, script: redis.NewScript(scriptText), fallback: fallback}}, nil
}

func checkRedis(client redis.UniversalClient) error {
	honours := true
	switch c := client.(type) {
	case nil:
		return errors.New("ratelimit: the Redis client is nil")
	case *redis.Client:
		honours = c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		honours = c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		honours = c.Options().ContextTimeoutEnabled
	}
	if !honours {
		return errors.New("ratelimit: the Redis client ignores deadlines; set ContextTimeoutEnabled in its options")
	}
	return nil
}

// With returns the same limiter, with the same counts, that answers differently while Redis is away.
func (r *Redis) With(mode OnUnavailable) (*Redis, error) {
	cfg := r.cfg
	cfg.OnUnavailable = mode
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Redis{cfg: cfg, shared: r.shared}, nil
}

// Allow counts one call under key. The error matches [security.ErrUnavailable] when Redis is away and the limiter is
// FailClosed (RetryAfter then tells when Redis is asked again), is ctx's own when the caller gave up, and else that of an
// invalid limit; the call is not allowed in any of these cases. Degraded marks results that Redis had no part in.
func (r *Redis) Allow(ctx context.Context, key string, limit security.Limit) (security.LimitResult, error) {
	return r.AllowN(ctx, key, limit, 1)
}

// AllowN counts n calls at once, all or none. With n = 0 nothing is counted: the result tells how the key stands, and
// Allowed whether one more call would be allowed. A negative n, or one beyond the limit's burst, is an error.
func (r *Redis) AllowN(ctx context.Context, key string, limit security.Limit, n int) (security.LimitResult, error) {
	c, err := prepare(limit, n)
	if err != nil {
		return security.LimitResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return security.LimitResult{}, err
	}
	pass, wait, ok := r.breaker.enter()
	if !ok {
		return r.without(ctx, key, limit, n, wait)
	}
	out := failed
	defer func() {
		if up, changed := r.breaker.leave(pass, out); changed && r.cfg.Hooks.OnState != nil {
			r.cfg.Hooks.OnState(ctx, up)
		}
	}()
	began := time.Now()
	allowed, ahead, err := r.ask(ctx, c, key, n)
	switch {
	case err == nil:
		out = answered
		return c.result(allowed, ahead, int64(n)), nil
	case ctx.Err() != nil:
		// A caller in a hurry says nothing about the store, unless it had time to answer.
		if time.Since(began) < r.cfg.Timeout/2 {
			out = abandoned
		}
		return security.LimitResult{}, ctx.Err()
	}
	if r.cfg.Hooks.OnError != nil {
		r.cfg.Hooks.OnError(ctx, err)
	}
	return r.without(ctx, key, limit, n, firstPause)
}

// ask runs the script: by its hash, and with its text when the server does not know it (a new or emptied server).
func (r *Redis) ask(ctx context.Context, c cell, key string, n int) (allowed bool, ahead int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	answer, err := r.script.Run(ctx, r.client, []string{redisKey(r.cfg.Namespace, key)}, c.interval, c.window, n).Int64Slice()
	if err != nil {
		return false, 0, fmt.Errorf("ratelimit: ask Redis: %w", err)
	}
	if len(answer) != 2 || answer[1] < 0 || answer[1] > c.window {
		return false, 0, fmt.Errorf("ratelimit: ask Redis: the answer %v makes no sense", answer)
	}
	return answer[0] == 1, answer[1], nil
}

// without answers as declared for when Redis is away.
func (r *Redis) without(ctx context.Context, key string, limit security.Limit, n int, wait time.Duration) (security.LimitResult, error) {
	switch r.cfg.OnUnavailable {
	case FailOpen:
		burst := limit.EffectiveBurst()
		return security.LimitResult{Allowed: true, Limit: burst, Remaining: burst, Degraded: true}, nil
	case LocalFallback:
		res, err := r.fallback.AllowN(ctx, key, limit, n)
		res.Degraded = true
		return res, err
	default:
		return security.LimitResult{RetryAfter: wait, Degraded: true},
			fmt.Errorf("ratelimit: Redis is away and the limiter is declared to fail closed: %w", security.ErrUnavailable)
	}
}
