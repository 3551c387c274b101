package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

func (f fixture) admin(t *testing.T, method, host, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.AdminHandler().ServeHTTP(w, r)
	return w
}

func TestAdminAnswersOnlyToItsNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{AdminHosts: []string{"order.internal"}}, service.Deps{})
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:9080": 200, "127.0.0.1:9080": 200, "[::1]:9080": 200, "10.0.0.7": 200, "order.internal:9080": 200,
		"evil.example": 421, "localhost.evil.example": 421, "": 421, "evil.example:9080": 421, "127.0.0.1.evil.example": 421,
	} {
		assert.Equal(t, status, f.admin(t, http.MethodGet, host, "/routes").Code, host)
	}
}

func TestAdminOffLoopbackNeedsAToken(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":9080", "0.0.0.0:9080", "[::]:9080", "192.0.2.1:9080", "order.internal:9080"} {
		_, err := service.New(service.Config{Name: "x", AdminAddr: addr}, service.Deps{})
		require.ErrorContains(t, err, "AdminToken is empty", addr)
	}
	const token = "0123456789abcdef"
	f := newFixture(t, service.Config{AdminAddr: "0.0.0.0:0", AdminToken: token}, service.Deps{})
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		assert.Equal(t, 200, f.admin(t, http.MethodGet, "10.0.0.7", path).Code, path)
	}
	for _, path := range []string{"/routes", "/debug/pprof/", "/nothing", "/metrics/", "//metrics", "/debug/../metrics/x"} {
		w := f.admin(t, http.MethodGet, "10.0.0.7", path)
		assert.Equal(t, 401, w.Code, path)
		assert.Equal(t, `Bearer realm="shop admin"`, w.Header().Get("WWW-Authenticate"))
		for _, bad := range []string{token, "Bearer " + token[1:], "Bearer  " + token, "Bearer", "Basic " + token, "Bearer " + token + "x"} {
			assert.Equal(t, 401, f.admin(t, http.MethodGet, "10.0.0.7", path, "Authorization", bad).Code, bad)
		}
	}
	assert.Equal(t, 200, f.admin(t, http.MethodGet, "10.0.0.7", "/routes", "Authorization", "Bearer "+token).Code)
	assert.Equal(t, 421, f.admin(t, http.MethodGet, "evil.example", "/routes", "Authorization", "Bearer "+token).Code)
}

func TestAdminRefusesOtherSitesWrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	done := false
	require.NoError(t, f.HandleAdmin("POST /admin/reset", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { done = true })))
	w := f.admin(t, http.MethodPost, "127.0.0.1:9080", "/admin/reset", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 403, w.Code)
	assert.False(t, done)
	assert.Equal(t, 200, f.admin(t, http.MethodPost, "127.0.0.1:9080", "/admin/reset").Code)
	assert.True(t, done)

	require.ErrorContains(t, f.HandleAdmin("GET /routes", http.NotFoundHandler()), "cannot be registered")
	require.ErrorContains(t, f.HandleAdmin("GET /nil", nil), "Handler is nil")
	require.ErrorContains(t, f.Run(t.Context()), "Handler is nil", "Run refuses as well")
}

func TestRouteTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{Owner: "team-shop"}, service.Deps{Authenticator: bearer(), Limiter: &counter{}})
	require.NoError(t, f.Handle(
		service.Route{
			Pattern: "GET /pets", Operation: "list-pets", Policy: security.Public(), Timeout: service.NoTimeout,
			Handler: http.NotFoundHandler(),
		},
		service.Route{
			Pattern: "POST /orders", Operation: "create-order", Policy: security.AnyRole("customer").And(security.Scope("write:orders")),
			Limit: "30/min", MaxBody: 100, Owner: "team-order", Summary: "Orders a pet.", Handler: http.NotFoundHandler(),
		}))
	assert.Equal(t, ""+
		"ROUTE         OPERATION     POLICY                              LIMIT   TIMEOUT  MAX BODY  OWNER\n"+
		"GET /pets     list-pets     public                              -       none     1048576   team-shop\n"+
		"POST /orders  create-order  role(customer)+scope(write:orders)  30/min  30s      100       team-order\n",
		f.admin(t, http.MethodGet, "localhost", "/routes").Body.String())
	var rows []service.RouteInfo
	w := f.admin(t, http.MethodGet, "localhost", "/routes", "Accept", "application/json")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &rows))
	assert.Equal(t, service.RouteInfo{
		Pattern: "POST /orders", Operation: "create-order", Summary: "Orders a pet.", Policy: "role(customer)+scope(write:orders)",
		Limit: "30/min", Timeout: "30s", MaxBody: 100, Owner: "team-order",
	}, rows[1])
}

func TestOnlyTheAdminSeesWhyACheckIsDown(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	health, err := observability.NewHealth(observability.Check{Name: "db", Probe: func(context.Context) error {
		asked <- struct{}{}
		return errors.New("dial db.internal: refused")
	}})
	require.NoError(t, err)
	f := newFixture(t, service.Config{}, service.Deps{Health: health})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- health.Run(ctx) }()
	<-asked
	require.Eventually(t, func() bool {
		s, _ := health.Status()
		return s == observability.HealthUnavailable
	}, waitLong, waitTick)
	public := f.do(t, http.MethodGet, "/readyz", "")
	assert.Equal(t, 503, public.Code)
	assert.JSONEq(t, `{"status":"unavailable","checks":[{"name":"db","status":"down","critical":true}]}`, public.Body.String())
	assert.Contains(t, f.admin(t, http.MethodGet, "localhost", "/readyz").Body.String(), "db.internal")
	assert.Empty(t, f.log.String(), "probes leave no access lines")
	cancel()
	require.NoError(t, <-done)
}
