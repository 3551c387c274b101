package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// counter is a limiter that lets the first calls of each key through.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
	err  error
}

func (c *counter) Allow(_ context.Context, key string, l security.Limit) (security.LimitResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return security.LimitResult{}, c.err
	}
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[key]++
	left := l.Events - c.seen[key]
	res := security.LimitResult{Allowed: left >= 0, Limit: l.Events, Remaining: max(left, 0), ResetAfter: 1500 * time.Millisecond}
	if !res.Allowed {
		res.RetryAfter = 1200 * time.Millisecond
	}
	return res, nil
}

func guarded(t *testing.T, cfg service.Config, deps service.Deps) fixture {
	t.Helper()
	deps.Authenticator = bearer()
	f := newFixture(t, cfg, deps)
	who := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, known := security.PrincipalFrom(r.Context())
		_, _ = fmt.Fprintf(w, "%s %v", p.Subject, known)
	})
	require.NoError(t, f.Handle(
		service.Route{Pattern: "GET /public", Operation: "public", Policy: security.Public(), Handler: who},
		service.Route{Pattern: "GET /orders", Operation: "orders", Policy: security.AnyRole("customer"), Handler: who},
	))
	return f
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	var denials []service.Denial
	f := guarded(t, service.Config{}, service.Deps{Hooks: service.Hooks{
		Denied: func(_ context.Context, d service.Denial) { denials = append(denials, d) },
	}})
	cases := []struct {
		path, token string
		status      int
		body        string
		challenge   string
		kind        string
	}{
		{"/public", "", 200, " false", "", ""},
		{"/public", "alice:customer", 200, "alice true", "", ""},
		{"/public", "bad", 401, "", `Bearer realm="shop", error="invalid_token"`, service.DeniedUnauthenticated},
		{"/orders", "", 401, "", `Bearer realm="shop"`, service.DeniedUnauthenticated},
		{"/orders", "bad", 401, "", `Bearer realm="shop", error="invalid_token"`, service.DeniedUnauthenticated},
		{"/orders", "alice:customer", 200, "alice true", "", ""},
		{"/orders", "bob:courier", 403, "", "", service.DeniedForbidden},
		{"/orders", "down", 503, "", "", service.DeniedUndecided},
		{"/orders", "bug", 503, "", "", service.DeniedUndecided},
		{"/public", "down", 503, "", "", service.DeniedUndecided},
	}
	bodies := map[int]map[string]bool{}
	for _, c := range cases {
		denials = nil
		var headers []string
		if c.token != "" {
			headers = []string{"Authorization", "Bearer " + c.token}
		}
		w := f.do(t, http.MethodGet, c.path, "", headers...)
		require.Equal(t, c.status, w.Code, "%+v", c)
		assert.Equal(t, c.challenge, w.Header().Get("WWW-Authenticate"))
		if c.kind == "" {
			assert.Equal(t, c.body, w.Body.String())
			assert.Empty(t, denials)
			continue
		}
		p := problem(t, w, c.status)
		if bodies[c.status] == nil {
			bodies[c.status] = map[string]bool{}
		}
		bodies[c.status][fmt.Sprint(p["type"], p["title"], p["detail"])] = true
		require.Len(t, denials, 1)
		assert.Equal(t, c.kind, denials[0].Kind)
		assert.Equal(t, c.path[1:], denials[0].Operation)
		assert.Equal(t, "192.0.2.1", denials[0].Client)
		require.Error(t, denials[0].Err)
	}
	for status, different := range bodies {
		assert.Len(t, different, 1, "every %d says the same", status)
	}
	text := f.metrics(t)
	assert.Contains(t, text, `mmf_authz_decisions_total{decision="forbidden",http_route="/orders",policy="role(customer)"} 1`)
	assert.Contains(t, text, `mmf_authz_decisions_total{decision="unauthenticated",http_route="/orders",policy="role(customer)"} 2`)
	assert.Contains(t, f.log.String(), `"principal":"bob"`, "the access line names who was refused")
	assert.NotContains(t, text, "alice")
}

func TestAuthorizerDecides(t *testing.T) {
	t.Parallel()
	var asked []security.AccessRequest
	f := guarded(t, service.Config{}, service.Deps{Authorizer: security.AuthorizerFunc(
		func(_ context.Context, r security.AccessRequest) (security.Decision, error) {
			asked = append(asked, r)
			if r.Principal.Subject == "broken" {
				return security.Decision{Allowed: true}, errors.New("policy store is away")
			}
			return security.Decision{Allowed: r.Principal.Subject == "alice", Policy: "p", Reason: "r"}, nil
		})})
	assert.Equal(t, 200, f.do(t, http.MethodGet, "/orders", "", "Authorization", "Bearer alice:x").Code)
	problem(t, f.do(t, http.MethodGet, "/orders", "", "Authorization", "Bearer eve:x"), 403)
	problem(t, f.do(t, http.MethodGet, "/orders", ""), 401)
	problem(t, f.do(t, http.MethodGet, "/orders", "", "Authorization", "Bearer broken:x"), 503)
	assert.Equal(t, "orders", asked[0].Action)
	assert.Equal(t, "/orders", asked[0].Resource)
	assert.False(t, asked[2].Known)
}

func limited(t *testing.T, cfg service.Config, limiter security.Limiter) fixture {
	t.Helper()
	f := newFixture(t, cfg, service.Deps{Authenticator: bearer(), Limiter: limiter})
	require.NoError(t, f.Handle(service.Route{
		Pattern: "GET /pets", Operation: "list-pets", Policy: security.Public(), Limit: "2/min",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
	}))
	return f
}

func TestHowOftenOneMayCall(t *testing.T) {
	t.Parallel()
	f := limited(t, service.Config{}, &counter{})
	w := f.do(t, http.MethodGet, "/pets", "")
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, `"list-pets";q=2;w=60`, w.Header().Get("RateLimit-Policy"))
	assert.Equal(t, `"list-pets";r=1;t=2`, w.Header().Get("RateLimit"))
	assert.Equal(t, 200, f.do(t, http.MethodGet, "/pets", "", "X-Forwarded-For", "10.0.0.1").Code)
	w = f.do(t, http.MethodGet, "/pets", "", "X-Forwarded-For", "10.0.0.2")
	p := problem(t, w, http.StatusTooManyRequests)
	assert.Equal(t, true, p["retryable"])
	assert.Equal(t, "2", w.Header().Get("Retry-After"), "rounded up")
	assert.Equal(t, `"list-pets";r=0;t=2`, w.Header().Get("RateLimit"))
	for range 2 { // a principal is counted apart from the address
		assert.Equal(t, 200, f.do(t, http.MethodGet, "/pets", "", "Authorization", "Bearer alice:x").Code)
	}
	problem(t, f.do(t, http.MethodGet, "/pets", "", "Authorization", "Bearer alice:x"), http.StatusTooManyRequests)
	assert.Contains(t, f.metrics(t), `mmf_ratelimit_decisions_total{decision="limited",policy="list-pets"} 2`)

	broken := limited(t, service.Config{}, &counter{err: errors.New("redis is away")})
	p = problem(t, broken.do(t, http.MethodGet, "/pets", ""), http.StatusServiceUnavailable)
	assert.NotContains(t, p["detail"], "redis")
}

func TestWhoseAddressCounts(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	cases := []struct {
		name, peer string
		trusted    []netip.Prefix
		forwarded  []string
		want       string
	}{
		{"peer", "203.0.113.7:1", nil, []string{"1.1.1.1"}, "203.0.113.7"},
		{"mapped", "[::ffff:203.0.113.7]:1", nil, nil, "203.0.113.7"},
		{"IPv6 by /64", "[2001:db8:1:2:3:4:5:6]:1", nil, nil, "2001:db8:1:2::/64"},
		{"IPv6 zone", "[fe80::1%eth0]:1", nil, nil, "fe80::/64"},
		{"stranger's header", "203.0.113.7:1", proxies, []string{"1.1.1.1"}, "203.0.113.7"},
		{"proxy", "10.0.0.1:1", proxies, []string{"198.51.100.1"}, "198.51.100.1"},
		{"invented hops on the left", "10.0.0.1:1", proxies, []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", proxies, []string{"1.1.1.1", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"unreadable hop", "10.0.0.1:1", proxies, []string{"198.51.100.1, what, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:1", proxies, []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"no header", "10.0.0.1:1", proxies, nil, "10.0.0.1"},
		{"all trusted", "10.0.0.1:1", proxies, []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"not an address", "pipe", nil, nil, "unknown"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			limiter := &counter{}
			f := limited(t, service.Config{TrustedProxies: c.trusted}, limiter)
			r := httptest.NewRequest(http.MethodGet, "/pets", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forwarded
			f.Handler().ServeHTTP(httptest.NewRecorder(), r)
			assert.Equal(t, map[string]int{security.EncodeKey("shop", "list-pets", "address", c.want): 1}, limiter.seen)
		})
	}
}
