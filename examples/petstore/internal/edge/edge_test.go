package edge_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/examples/petstore/internal/edge"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const orderID = "ord-aaaaaaaaaaaaaaaaaaaa"

// upstream is a small stand-in for all the services: it notes what it was asked and knows one order.
type upstream struct {
	*httptest.Server

	mu   sync.Mutex
	seen []*http.Request
	body string
	sold bool
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("user") != "bob" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		reply(w, 200, map[string]any{"access_token": "token-of-bob", "expires_in": 3600})
	})
	pet := map[string]any{
		"id": "goldfish-004", "name": "Bubbles <b>", "category": "fish", "price_cents": 2500, "currency": "USD", "status": "available",
	}
	mux.HandleFunc("GET /api/v1/pets", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]any{"pets": []any{pet}}) })
	mux.HandleFunc("GET /api/v1/pets/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "goldfish-004" {
			reply(w, 404, map[string]any{"status": 404, "detail": "There is no pet with this id."})
			return
		}
		reply(w, 200, pet)
	})
	mux.HandleFunc("POST /api/v1/orders", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.body = string(body)
		u.mu.Unlock()
		w.Header().Set("Location", "/api/v1/orders/"+orderID)
		w.Header().Set("X-Correlation-Id", r.Header.Get("X-Correlation-Id"))
		reply(w, 202, map[string]any{"id": orderID})
	})
	mux.HandleFunc("GET /api/v1/orders", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"orders": []edge.Order{{ID: orderID, PetID: "goldfish-004"}, {ID: orderID, PetID: "gone-001"}}})
	})
	mux.HandleFunc("GET /api/v1/orders/"+orderID, func(w http.ResponseWriter, _ *http.Request) {
		workflow := "running"
		if u.finished() {
			workflow = "completed"
		}
		reply(w, 200, edge.Order{ID: orderID, PetID: "goldfish-004", State: "placed", Workflow: workflow, WorkflowSteps: steps()})
	})
	mux.HandleFunc("GET /api/v1/sagas/"+orderID, func(w http.ResponseWriter, _ *http.Request) {
		journal := number(done("create_order"))
		if u.finished() {
			journal = number(done("create_order"), edge.Record{Kind: "ended", Outcome: "completed"})
		}
		reply(w, 200, map[string]any{"journal": journal})
	})
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r)
		u.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func reply(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (u *upstream) finish() { u.mu.Lock(); u.sold = true; u.mu.Unlock() }

func (u *upstream) finished() bool { u.mu.Lock(); defer u.mu.Unlock(); return u.sold }

func (u *upstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[len(u.seen)-1]
}

// front is an edge before an upstream, with a browser.
type front struct {
	url     string
	browser *http.Client
	pages   *edge.Pages
}

func newFront(t *testing.T, upstreamURL string) *front {
	t.Helper()
	store := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: store.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	shell, err := service.New(service.Config{Name: "edge", Addr: "127.0.0.1:0", Edge: true}, service.Deps{
		Limiter: limiter,
		Authenticator: security.AuthenticatorFunc(func(r *http.Request) (security.Principal, error) {
			switch r.Header.Get("Authorization") {
			case "":
				return security.Principal{}, security.ErrNoCredentials
			case "Bearer good":
				return security.Principal{Subject: "alice"}, nil
			}
			return security.Principal{}, security.ErrInvalidToken
		}),
	})
	require.NoError(t, err)
	ups := edge.Upstreams{"catalog": upstreamURL, "order": upstreamURL, "payment": upstreamURL, "delivery": upstreamURL}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	calls := shell.Telemetry().Transport(transport)
	routes, err := edge.APIRoutes(ups, calls)
	require.NoError(t, err)
	require.NoError(t, shell.Handle(routes...))
	httpClient := &http.Client{Transport: calls}
	pages, err := edge.NewPages(edge.PagesConfig{Upstreams: ups, Client: httpClient, Sessions: edge.NewSessions(client, "test")})
	require.NoError(t, err)
	pages.AllowDevelopmentUsers(edge.NewUserTokens(upstreamURL, httpClient))
	require.NoError(t, shell.Handle(pages.Routes()...))
	server := httptest.NewServer(shell.Handler())
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	own := &http.Transport{}
	t.Cleanup(own.CloseIdleConnections)
	return &front{url: server.URL, pages: pages, browser: &http.Client{
		Jar: jar, Transport: own, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (f *front) do(t *testing.T, method, path string, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := f.browser.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(content)
}

func (f *front) post(t *testing.T, path string, form url.Values) (*http.Response, string) {
	t.Helper()
	return f.do(t, http.MethodPost, path, form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", f.url)
}

func (f *front) login(t *testing.T) {
	t.Helper()
	res, _ := f.post(t, "/login", url.Values{"user": {"bob"}, "back": {"/pets/goldfish-004"}})
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	require.Equal(t, "/pets/goldfish-004", res.Header.Get("Location"))
}

func TestProxyPassesOnWhoAsks(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newFront(t, u.URL)
	res, body := f.do(t, http.MethodPost, "/api/v1/orders", `{"petId":"goldfish-004"}`, "Authorization", "Bearer good",
		"X-Correlation-Id", "abc-1", "Idempotency-Key", "k", "Cookie", "petstore_session=secret", "Content-Type", "application/json")
	require.Equal(t, http.StatusAccepted, res.StatusCode, body)
	require.Equal(t, []string{"abc-1"}, res.Header.Values("X-Correlation-Id"), "once, not twice")
	require.Equal(t, "/api/v1/orders/"+orderID, res.Header.Get("Location"))
	require.JSONEq(t, `{"petId":"goldfish-004"}`, u.body)
	got := u.last()
	require.Equal(t, "Bearer good", got.Header.Get("Authorization"))
	require.Equal(t, "abc-1", got.Header.Get("X-Correlation-Id"))
	require.Equal(t, "k", got.Header.Get("Idempotency-Key"))
	require.NotEmpty(t, got.Header.Get("Traceparent"))
	require.Equal(t, "127.0.0.1", got.Header.Get("X-Forwarded-For"))
	require.Empty(t, got.Header.Get("Cookie"), "sessions stay at the edge")
}

func TestProxyRefusesEarly(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newFront(t, u.URL)
	for _, c := range []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", "/api/v1/orders", "", 401},
		{"GET", "/api/v1/orders/x", "Bearer forged", 401},
		{"GET", "/api/v1/ledger/x", "", 401},
		{"DELETE", "/api/v1/orders/x", "Bearer good", 405},
		{"GET", "/api/v2/pets", "", 404},
	} {
		res, body := f.do(t, c.method, c.path, "", "Authorization", c.authorization)
		require.Equal(t, c.status, res.StatusCode, "%s %s: %s", c.method, c.path, body)
	}
	res, _ := f.do(t, "POST", "/api/v1/orders", strings.Repeat("x", 20<<10), "Authorization", "Bearer good")
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	require.Empty(t, u.seen)
}

func TestUnreachableServiceIsARetryableProblem(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	f := newFront(t, gone.URL)
	res, body := f.do(t, "GET", "/api/v1/pets", "", "X-Correlation-Id", "abc-2")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"))
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	var p service.Problem
	require.NoError(t, json.Unmarshal([]byte(body), &p))
	require.True(t, p.Retryable)
	require.Equal(t, "abc-2", p.CorrelationID)
	require.Contains(t, p.Detail, "catalog")
	require.NotContains(t, body, "127.0.0.1", "addresses are nobody's business")

	res, body = f.do(t, "GET", "/", "")
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Contains(t, body, "<h1>Service Unavailable</h1>", "people get a page")
}

func TestShopShowsPetsAndKeepsScriptsOut(t *testing.T) {
	t.Parallel()
	f := newFront(t, newUpstream(t).URL)
	res, body := f.do(t, "GET", "/", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, body, "Bubbles &lt;b&gt;")
	require.Contains(t, body, "$25.00")
	require.NotContains(t, res.Header.Get("Content-Security-Policy"), "unsafe")
	require.NotContains(t, body, "style=", "the policy would drop it")
	require.NotContains(t, body, "onclick")

	asset := body[strings.Index(body, "/assets/style.css"):]
	asset = asset[:strings.Index(asset, `"`)]
	res, _ = f.do(t, "GET", asset, "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Contains(t, res.Header.Get("Cache-Control"), "immutable")
	res, _ = f.do(t, "GET", "/assets/../web.go", "")
	require.NotEqual(t, http.StatusOK, res.StatusCode)
}

func TestBuyingNeedsASession(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newFront(t, u.URL)
	form := url.Values{"pet": {"goldfish-004"}, "card": {"pm_visa"}, "key": {"k1"}}
	res, _ := f.post(t, "/orders", form)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)

	f.login(t)
	at, err := url.Parse(f.url)
	require.NoError(t, err)
	require.Len(t, f.browser.Jar.Cookies(at), 1)
	res, body := f.post(t, "/orders", form)
	require.Equal(t, http.StatusSeeOther, res.StatusCode, body)
	require.Equal(t, "/orders/"+orderID+"?new", res.Header.Get("Location"))
	got := u.last()
	require.Equal(t, "Bearer token-of-bob", got.Header.Get("Authorization"))
	require.Equal(t, "k1", got.Header.Get("Idempotency-Key"))
	require.JSONEq(t, `{"petId":"goldfish-004","paymentMethod":"pm_visa"}`, u.body)

	_, body = f.do(t, "GET", "/orders/"+orderID, "")
	require.NotContains(t, body, "token-of-bob", "tokens never reach the browser")
	require.Contains(t, body, `data-step="reserve_pet" data-status="running"`)

	_, body = f.do(t, "GET", "/orders", "")
	require.Contains(t, body, "<strong>Bubbles &lt;b&gt;</strong>")
	require.Contains(t, body, "<strong>gone-001</strong>", "a pet that the catalog does not know has its id")

	res, _ = f.post(t, "/logout", nil)
	require.Equal(t, http.StatusSeeOther, res.StatusCode)
	res, _ = f.post(t, "/orders", form)
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "the session is over")
}

func TestSessionCookie(t *testing.T) {
	t.Parallel()
	f := newFront(t, newUpstream(t).URL)
	res, _ := f.post(t, "/login", url.Values{"user": {"bob"}, "back": {"https://evil.example"}})
	require.Equal(t, "/", res.Header.Get("Location"))
	c := res.Cookies()[0]
	require.True(t, c.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, c.SameSite)
	require.NotContains(t, c.Value, "bob")
	res, _ = f.post(t, "/login", url.Values{"user": {"bob"}})
	require.NotEqual(t, c.Value, res.Cookies()[1].Value, "a new choice is a new session")

	res, _ = f.post(t, "/login", url.Values{"user": {"mallory"}})
	require.Equal(t, http.StatusUnprocessableEntity, res.StatusCode)
	require.Empty(t, res.Cookies())
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newFront(t, u.URL)
	f.login(t)
	before := len(u.seen)
	for _, path := range []string{"/orders", "/login", "/logout"} {
		res, _ := f.do(t, http.MethodPost, path, "user=bob", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example")
		require.Equal(t, http.StatusForbidden, res.StatusCode, path)
	}
	require.Len(t, u.seen, before)
}

func TestLivePageFollowsTheOrder(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	f := newFront(t, u.URL)
	res, _ := f.do(t, "GET", "/orders/"+orderID+"/live", "")
	require.Equal(t, http.StatusNotFound, res.StatusCode, "strangers watch nothing")
	f.login(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.url+"/orders/"+orderID+"/live", nil)
	require.NoError(t, err)
	res, err = f.browser.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	first := make([]byte, 4096)
	_, err = res.Body.Read(first)
	require.NoError(t, err)
	u.finish()
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err, "the stream ends by itself")
	require.Contains(t, string(rest), "event: end")
	require.Contains(t, string(rest), `"outcome":"approved"`)

	res, body := f.do(t, "GET", "/orders/"+orderID+"/live", "", "Last-Event-Id", "2")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.NotContains(t, body, "event: frame", "what was seen is not sent again")
}

func TestLivePagesEndWithTheService(t *testing.T) {
	t.Parallel()
	f := newFront(t, newUpstream(t).URL)
	f.login(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.pages.Run(ctx) }()
	time.AfterFunc(50*time.Millisecond, stop)
	_, body := f.do(t, "GET", "/orders/"+orderID+"/live", "") // returns because the stream ends
	require.NotContains(t, body, "event: end", "the order goes on")
	require.NoError(t, <-ended)
}
