package platform

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

// auth makes the verifier of the shop's tokens and the source of the service's own.
func (s *Service) auth() error {
	issuer := s.Settings.Auth.Issuer
	if issuer == "" {
		var err error
		if issuer, err = s.URL("issuer"); err != nil {
			return err
		}
	}
	insecure := s.Settings.Env != EnvProd && strings.HasPrefix(issuer, "http://")
	verifier, err := oidc.New(oidc.Config{Issuer: issuer, Audience: s.Settings.Auth.Audience, AllowInsecureIssuer: insecure})
	if err != nil {
		return err
	}
	s.authenticator = verifier
	if s.Name == "issuer" {
		return nil
	}
	if err := s.Shell.Add(service.Component{Name: "token keys", Run: verifier.Run, Phase: service.CloseClients}); err != nil {
		return err
	}
	s.Tokens, err = oidc.ClientCredentials(oidc.ClientCredentialsConfig{
		Issuer: issuer, ClientID: s.Name, ClientSecret: s.Settings.Auth.ClientSecret.Reveal,
		Audience: s.Settings.Auth.Audience, AllowInsecureIssuer: insecure,
	})
	return err
}

// redis connects to Redis at first use.
func (s *Service) redis() error {
	if s.Name == "issuer" || s.Settings.Redis.Addr == "" {
		return nil
	}
	s.Redis = redis.NewClient(&redis.Options{
		Addr: s.Settings.Redis.Addr, Password: s.Settings.Redis.Password.Reveal(), ClientName: "petstore-" + s.Name,
		// The limiter bounds each call itself and must not wait behind the client's own repetitions.
		ContextTimeoutEnabled: true, MaxRetries: -1, DialTimeout: time.Second,
	})
	return nil
}

// limiter counts in Redis, so that all processes share the counts, and in the process while Redis is away.
func (s *Service) limiter() (security.Limiter, error) {
	if s.Redis == nil {
		return ratelimit.NewLocal(ratelimit.LocalConfig{})
	}
	return ratelimit.NewRedis(ratelimit.RedisConfig{
		Namespace: s.Settings.Redis.Prefix + ".rl", Hooks: ratelimit.Hooks{OnError: s.failed("rate limit store")},
	}, s.Redis)
}

// watchRedis closes the client with the others and shows its health; the shop works without it.
func (s *Service) watchRedis() error {
	if s.Redis == nil {
		return nil
	}
	s.OnClose("redis", s.Redis.Close)
	return s.Shell.Health().Add(observability.Check{
		Name: "redis", Optional: true, Probe: func(ctx context.Context) error { return s.Redis.Ping(ctx).Err() },
	})
}
