package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a log writer that can be read while it is written to.
type sink struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

type fixture struct {
	*service.Service
	log *sink
}

func newFixture(t *testing.T, cfg service.Config, deps service.Deps) fixture {
	t.Helper()
	f := fixture{log: &sink{}}
	tel, err := observability.New(observability.Config{Service: "shop", LogWriter: f.log, DisableRuntimeMetrics: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) })
	deps.Telemetry = tel
	cfg.Name = "shop"
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Drain.Linger == 0 {
		cfg.Drain.Linger = -1
	}
	f.Service, err = service.New(cfg, deps)
	require.NoError(t, err)
	return f
}

// handle registers a public route at "GET /x" and "POST /x" that runs fn.
func (f fixture) handle(t *testing.T, fn http.HandlerFunc) {
	t.Helper()
	require.NoError(t, f.Handle(
		service.Route{Pattern: "GET /x", Operation: "get-x", Policy: security.Public(), Handler: fn},
		service.Route{Pattern: "POST /x", Operation: "post-x", Policy: security.Public(), Handler: fn, MaxBody: 64},
	))
}

func (f fixture) do(t *testing.T, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	return w
}

func (f fixture) metrics(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.Telemetry().MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// problem checks what every problem has and returns it.
func problem(t *testing.T, w *httptest.ResponseRecorder, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var p map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.EqualValues(t, status, p["status"])
	require.NotEmpty(t, p["type"])
	require.NotEmpty(t, p["title"])
	require.NotEmpty(t, p["instance"])
	require.Equal(t, w.Header().Get("X-Correlation-ID"), p["correlation_id"])
	require.Len(t, p["trace_id"], 32)
	return p
}

// bearer authenticates "Bearer <subject>:<role>"; "bad" is invalid and "down" cannot be decided.
func bearer() security.Authenticator {
	return security.AuthenticatorFunc(func(r *http.Request) (security.Principal, error) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !ok:
			return security.Principal{}, security.ErrNoCredentials
		case token == "bad":
			return security.Principal{}, security.ErrInvalidToken
		case token == "down":
			return security.Principal{}, security.ErrUnavailable
		case token == "bug":
			return security.Principal{}, io.ErrUnexpectedEOF
		}
		subject, role, _ := strings.Cut(token, ":")
		return security.Principal{Subject: subject, Issuer: "test", Roles: []string{role}}, nil
	})
}
