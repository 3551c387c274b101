package ratelimit_test

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
)

func ExampleLocal() {
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	limit, err := security.ParseLimit("30/h burst 2")
	if err != nil {
		fmt.Println(err)
		return
	}
	alice := security.Principal{Issuer: "https://id.example.com", Subject: "alice"}
	for range 3 {
		r, err := limiter.Allow(context.Background(), security.EncodeKey("create-order", alice.Key()), limit)
		fmt.Println(r.Allowed, r.Remaining, err)
	}
	// Output:
	// true 1 <nil>
	// true 0 <nil>
	// false 0 <nil>
}

// A limiter that protects a login declares that nothing passes while Redis is away.
func ExampleRedis_With() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true, MaxRetries: -1})
	defer func() { _ = client.Close() }()

	limiter, err := ratelimit.NewRedis(ratelimit.RedisConfig{}, client)
	if err != nil {
		fmt.Println(err)
		return
	}
	login, err := limiter.With(ratelimit.FailClosed)
	if err != nil {
		fmt.Println(err)
		return
	}
	limit, _ := security.ParseLimit("5/min")
	r, err := limiter.Allow(context.Background(), "list-pets", limit)
	fmt.Println(r.Allowed, r.Degraded, err)
	r, err = login.Allow(context.Background(), "login", limit)
	fmt.Println(r.Allowed, r.Degraded, err)
	// Output:
	// true true <nil>
	// false true ratelimit: Redis is away and the limiter is declared to fail closed: security: no decision can be made at the moment
}
