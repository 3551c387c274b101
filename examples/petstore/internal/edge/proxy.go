package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Upstreams are the URLs of the services by name.
type Upstreams map[string]string

// api is who owns which path. The services check roles and owners themselves and count the calls; the edge only turns away early
// whoever has no valid token where one is needed.
func api() []struct {
	owner, operation string
	policy           security.Policy
	patterns         []string
} {
	return []struct {
		owner, operation string
		policy           security.Policy
		patterns         []string
	}{
		{"catalog", "pets", security.Public(), []string{"GET /api/v1/pets", "GET /api/v1/pets/{path...}"}},
		{"order", "orders", security.Authenticated(), []string{
			"GET /api/v1/orders", "POST /api/v1/orders", "GET /api/v1/orders/{path...}", "POST /api/v1/orders/{path...}",
		}},
		{"order", "sagas", security.Authenticated(), []string{"GET /api/v1/sagas/{path...}", "POST /api/v1/sagas/{path...}"}},
		{"payment", "payments", security.Authenticated(), []string{"GET /api/v1/payments/{path...}"}},
		{"payment", "ledger", security.Authenticated(), []string{"GET /api/v1/ledger/{path...}"}},
		{"delivery", "deliveries", security.Authenticated(), []string{"GET /api/v1/deliveries/{path...}"}},
	}
}

// maxAPIBody is what a request may carry to a service; none of them takes more.
const maxAPIBody = 16 << 10

// APIRoutes pass /api/v1 on to the services that own it. The transport guards the calls and carries correlation id and trace.
func APIRoutes(upstreams Upstreams, transport http.RoundTripper) ([]service.Route, error) {
	var routes []service.Route
	for _, part := range api() {
		target, err := url.Parse(upstreams[part.owner])
		if err != nil || target.Host == "" {
			return nil, fmt.Errorf("edge: the URL of %s is %q: want something like http://127.0.0.1:8081", part.owner, upstreams[part.owner])
		}
		proxy := newProxy(part.owner, target, transport)
		for i, pattern := range part.patterns {
			routes = append(routes, service.Route{
				Pattern: pattern, Operation: fmt.Sprintf("api-%s-%d", part.operation, i+1), Summary: "Passed on to " + part.owner,
				Policy: part.policy, Timeout: 10 * time.Second, MaxBody: maxAPIBody, Handler: proxy,
			})
		}
	}
	return routes, nil
}

func newProxy(owner string, target *url.URL, transport http.RoundTripper) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Header.Del("Cookie") // sessions are the edge's own business
			p.Out.GetBody = p.In.GetBody
		},
		ModifyResponse: func(res *http.Response) error {
			res.Header.Del("X-Correlation-Id") // the edge has set it already, to the same value
			res.Header.Del("Set-Cookie")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			service.WriteError(w, r, unreachable(r, owner, err))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The body is small and kept, so that a request which may be repeated can be.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			service.WriteError(w, r, err)
			return
		}
		r.Body = http.NoBody
		if len(body) > 0 {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
			r.Body, _ = r.GetBody()
			r.ContentLength, r.TransferEncoding = int64(len(body)), nil
		}
		proxy.ServeHTTP(w, r)
	})
}

// unreachable is what a caller learns when a service gave no answer.
func unreachable(r *http.Request, owner string, err error) error {
	switch {
	case r.Context().Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, resilience.ErrTimeout):
		return err // the shell's table knows these: gone, or too late
	}
	p := service.NewProblem(http.StatusServiceUnavailable,
		"The service that answers this, "+owner+", cannot be reached at the moment. Try again later.")
	var dial *net.OpError
	p.Retryable = r.Method == http.MethodGet || r.Header.Get("Idempotency-Key") != "" ||
		errors.As(err, &dial) && dial.Op == "dial" || errors.Is(err, resilience.ErrOpen) || errors.Is(err, resilience.ErrRejected)
	if p.Retryable {
		p.RetryAfter = time.Second
	} else {
		p.Detail = "The service that does this, " + owner + ", was lost before it answered. Read back what you meant to change before you repeat it."
	}
	return p.WithCause(err)
}
