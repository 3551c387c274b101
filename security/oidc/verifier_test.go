package oidc_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
)

// J-21: where a token may be, and how often.
func TestJ21AuthorizationHeader(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, seen := newVerifier(t, p.config())
	good := p.token(nil)
	for _, c := range []struct {
		name   string
		values []string
		want   error
		reason oidc.Reason
	}{
		{"good", []string{"Bearer " + good}, nil, oidc.ReasonOK},
		{"lower case", []string{"bearer " + good}, nil, oidc.ReasonOK},
		{"none", nil, security.ErrNoCredentials, oidc.ReasonNoCredentials},
		{"another scheme", []string{"Basic YTpi"}, security.ErrNoCredentials, oidc.ReasonNoCredentials},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, security.ErrInvalidToken, oidc.ReasonCredentials},
		{"two headers of two schemes", []string{"Basic YTpi", "Bearer " + good}, security.ErrInvalidToken, oidc.ReasonCredentials},
		{"tab", []string{"Bearer\t" + good}, security.ErrInvalidToken, oidc.ReasonCredentials},
		{"two spaces", []string{"Bearer  " + good}, security.ErrInvalidToken, oidc.ReasonMalformed},
		{"trailing space", []string{"Bearer " + good + " "}, security.ErrInvalidToken, oidc.ReasonMalformed},
		{"joined by a comma", []string{"Bearer " + good + ",Bearer " + good}, security.ErrInvalidToken, oidc.ReasonMalformed},
		{"no token", []string{"Bearer"}, security.ErrInvalidToken, oidc.ReasonCredentials},
		{"empty token", []string{"Bearer "}, security.ErrInvalidToken, oidc.ReasonMalformed},
		{"empty", []string{""}, security.ErrInvalidToken, oidc.ReasonCredentials},
		{"no scheme", []string{" " + good}, security.ErrInvalidToken, oidc.ReasonCredentials},
	} {
		// The token is also where it must not count.
		r := httptest.NewRequest(http.MethodGet, "/?access_token="+good, nil)
		r.AddCookie(&http.Cookie{Name: "access_token", Value: good})
		r.Header["Authorization"] = c.values
		got, err := v.Authenticate(r)
		require.Equal(t, c.want, err, c.name)
		require.Equal(t, c.reason, seen.get(), c.name)
		require.Equal(t, c.want == nil, got.Subject != "", c.name)
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	cfg := p.config()
	cfg.RolesClaim = []string{"realm_access", "https://shop.example/roles"}
	v, _ := newVerifier(t, cfg)
	expires := time.Now().Add(time.Minute).Truncate(time.Second)
	got, err := v.Verify(t.Context(), p.token(map[string]any{
		"roles": []string{"not", "these"}, "exp": expires.Unix(), "scope": "read:pets write:pets", "client_id": "web",
		"realm_access": map[string]any{"https://shop.example/roles": []string{"customer", "admin"}},
	}))
	require.NoError(t, err)
	require.Equal(t, "alice", got.Subject)
	require.Equal(t, p.URL, got.Issuer)
	require.Equal(t, []string{"customer", "admin"}, got.Roles)
	require.Equal(t, []string{"read:pets", "write:pets"}, got.Scopes)
	require.True(t, expires.Equal(got.Expires))
	require.False(t, got.Service)
	require.Equal(t, "1", got.Claims["jti"])

	got, err = v.Verify(t.Context(), p.token(map[string]any{"sub": "billing", "client_id": "billing"}))
	require.NoError(t, err)
	require.True(t, got.Service)
	require.Empty(t, got.Roles)

	_, err = v.Verify(t.Context(), p.token(map[string]any{"realm_access": "admin"}))
	require.ErrorIs(t, err, security.ErrInvalidToken)
}

// J-19, J-20, S-TLS-1: a configuration that would be weak does not start, and every problem is told at once.
func TestConfigProblems(t *testing.T) {
	t.Parallel()
	good := oidc.Config{Issuer: "https://id.example.com", Audience: "shop"}
	_, err := oidc.New(good)
	require.NoError(t, err)
	for name, change := range map[string]func(*oidc.Config){
		"Issuer":        func(c *oidc.Config) { c.Issuer = "" },
		"http":          func(c *oidc.Config) { c.Issuer = "http://127.0.0.1:8085" },
		"not on loop":   func(c *oidc.Config) { c.Issuer, c.AllowInsecureIssuer = "http://id.example.com", true },
		"look-alike":    func(c *oidc.Config) { c.Issuer, c.AllowInsecureIssuer = "http://localhost.example.com", true },
		"user name":     func(c *oidc.Config) { c.Issuer = "https://a@id.example.com" },
		"query":         func(c *oidc.Config) { c.Issuer = "https://id.example.com?x=1" },
		"absolute":      func(c *oidc.Config) { c.Issuer = "id.example.com" },
		"Audience":      func(c *oidc.Config) { c.Audience = "" },
		"HS256":         func(c *oidc.Config) { c.Algorithms = []string{"RS256", "HS256"} },
		"none":          func(c *oidc.Config) { c.Algorithms = []string{"none"} },
		"ClockSkew":     func(c *oidc.Config) { c.ClockSkew = 61 * time.Second },
		"MaxTokenBytes": func(c *oidc.Config) { c.MaxTokenBytes = 2 << 20 },
		"MaxStale":      func(c *oidc.Config) { c.RefreshEvery, c.MaxStale = time.Hour, time.Minute },
		"Cooldown":      func(c *oidc.Config) { c.Cooldown = -1 },
		"JWKSURL":       func(c *oidc.Config) { c.JWKSURL = "http://id.example.com/keys" },
		"RolesClaim":    func(c *oidc.Config) { c.RolesClaim = []string{"a", ""} },
		"certificates": func(c *oidc.Config) {
			c.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		},
	} {
		cfg := good
		change(&cfg)
		_, err := oidc.New(cfg)
		want := name
		switch name {
		case "not on loop", "look-alike":
			want = "not on loopback"
		}
		require.ErrorContains(t, err, want, name)
	}
	_, err = oidc.New(oidc.Config{ClockSkew: time.Hour})
	for _, part := range []string{"Issuer", "Audience", "ClockSkew"} {
		require.ErrorContains(t, err, part)
	}
}

// The default client does not reach a cloud's metadata service, whatever a name resolves to.
func TestDefaultClientRefusesLinkLocal(t *testing.T) {
	t.Parallel()
	v, seen := newVerifier(t, oidc.Config{Issuer: "https://169.254.169.254", Audience: "shop"})
	require.ErrorIs(t, v.Ready(t.Context()), security.ErrUnavailable)
	require.ErrorContains(t, seen.lastRefresh(t).Err, "link-local")
}
