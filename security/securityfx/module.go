// Package securityfx provides the parts of security to an fx application: the verifier of access tokens as
// [security.Authenticator], a [security.Authorizer] and a [security.Limiter].
//
//	fx.New(
//		securityfx.Module,
//		fx.Supply(oidc.Config{Issuer: "https://id.example.com", Audience: "shop"}),
//		fx.Provide(func() redis.UniversalClient { … }), // optional
//		fx.Invoke(func(a security.Authenticator, l security.Limiter) { … }),
//	)
//
// The application supplies oidc.Config. It may supply ratelimit.RedisConfig, and a redis.UniversalClient whose life stays
// its own: with a client calls are counted in Redis, without one in the process. The authorizer is
// [security.PolicyAuthorizer]; put another one in its place with fx.Decorate.
//
// Once the verifier is used, its keys are kept fresh from start to stop. The start does not wait for the issuer; ask
// Verifier.Ready in a readiness check. A configuration that is not valid fails the start of the application.
package securityfx

import (
	"context"

	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
	"github.com/marty-framework/mmf/security/ratelimit"
)

// Module provides *oidc.Verifier, security.Authenticator, security.Authorizer and security.Limiter.
var Module = fx.Module("security",
	fx.Provide(
		NewVerifier,
		func(v *oidc.Verifier) security.Authenticator { return v },
		func() security.Authorizer { return security.PolicyAuthorizer{} },
		NewLimiter,
	),
)

// NewVerifier makes the verifier and ties its Run to the application's life; it is what [Module] provides.
func NewVerifier(cfg oidc.Config, life fx.Lifecycle) (*oidc.Verifier, error) {
	v, err := oidc.New(cfg)
	if err != nil {
		return nil, err
	}
	// OnStart's context ends with the start, so Run gets its own.
	var cancel context.CancelFunc
	ended := make(chan struct{})
	life.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			ctx, cancel = context.WithCancel(context.WithoutCancel(ctx))
			go func() {
				defer close(ended)
				_ = v.Run(ctx) // ends with ctx and has no other end
			}()
			return nil
		},
		OnStop: func(ctx context.Context) error {
			cancel()
			select {
			case <-ended:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	return v, nil
}

// LimiterParams are what the limiter is made of.
type LimiterParams struct {
	fx.In

	Config ratelimit.RedisConfig `optional:"true"`
	Redis  redis.UniversalClient `optional:"true"`
}

// NewLimiter makes a limiter that counts in Redis, or in the process when there is no client; it is what [Module]
// provides. In the process Config.Fallback is the configuration.
func NewLimiter(p LimiterParams) (security.Limiter, error) {
	if p.Redis == nil {
		return ratelimit.NewLocal(p.Config.Fallback)
	}
	return ratelimit.NewRedis(p.Config, p.Redis)
}
