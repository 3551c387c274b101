package securityfx_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/security/securityfx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGraphIsComplete(t *testing.T) {
	t.Parallel()
	use := fx.Invoke(func(*oidc.Verifier, security.Authenticator, security.Authorizer, security.Limiter) {})
	require.NoError(t, fx.ValidateApp(securityfx.Module, fx.Supply(oidc.Config{}), use))
	require.NoError(t, fx.ValidateApp(securityfx.Module, fx.Supply(oidc.Config{}, ratelimit.RedisConfig{}), use,
		fx.Provide(func() redis.UniversalClient { return nil })))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 100)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(issuer.Close)
	var authenticator security.Authenticator
	var limiter security.Limiter
	var authorizer security.Authorizer
	app := fxtest.New(t, securityfx.Module,
		fx.Supply(oidc.Config{Issuer: issuer.URL, Audience: "shop", AllowInsecureIssuer: true}),
		fx.Populate(&authenticator, &limiter, &authorizer),
	)
	app.RequireStart() // although the issuer is away
	<-asked            // Run runs
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	_, err := authenticator.Authenticate(r)
	require.ErrorIs(t, err, security.ErrNoCredentials)
	res, err := limiter.Allow(t.Context(), "k", security.Limit{Events: 1, Per: 1e9})
	require.NoError(t, err)
	require.True(t, res.Allowed)
	d, err := authorizer.Authorize(t.Context(), security.AccessRequest{Policy: security.Public()})
	require.NoError(t, err)
	require.True(t, d.Allowed)
	app.RequireStop()
}

func TestLimiterUsesRedisWhenThereIsAClient(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	var limiter security.Limiter
	app := fxtest.New(t, securityfx.Module,
		fx.Supply(ratelimit.RedisConfig{Namespace: "shop"}),
		fx.Provide(func() redis.UniversalClient { return client }),
		fx.Populate(&limiter),
	)
	app.RequireStart()
	require.IsType(t, &ratelimit.Redis{}, limiter)
	app.RequireStop()
}

func TestInvalidConfigFailsTheStart(t *testing.T) {
	t.Parallel()
	app := fx.New(fx.NopLogger, securityfx.Module, fx.Supply(oidc.Config{}), fx.Invoke(func(security.Authenticator) {}))
	require.ErrorContains(t, app.Err(), "Issuer")
}

func Example() {
	app := fx.New(fx.NopLogger, securityfx.Module,
		fx.Supply(oidc.Config{Issuer: "https://id.example.com", Audience: "shop"}),
		fx.Invoke(func(security.Authenticator, security.Limiter) { fmt.Println("guarded") }),
	)
	fmt.Println(app.Err())
	// Output:
	// guarded
	// <nil>
}
