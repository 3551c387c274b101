package observability

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/marty-framework/mmf/internal/correlation"
)

const (
	maxPrincipal = 128
	// unmatched is the route label of requests that no route took.
	unmatched = "unmatched"
)

// CorrelationID is the id of the business action that ctx belongs to, "" when it has none.
func CorrelationID(ctx context.Context) string { return correlation.From(ctx).Correlation }

// CausationID is the id of the message or request that led to the work of ctx, "" when it has none.
func CausationID(ctx context.Context) string { return correlation.From(ctx).Causation }

// WithCorrelationID returns a context with that correlation id; the causation id stays. An id that is not 1 to 128 of
// [A-Za-z0-9._-] is replaced by a random one, since it would be refused by the next service anyway.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	if !correlation.Valid(id) {
		id = correlation.New()
	}
	ids := correlation.From(ctx)
	ids.Correlation = id
	return correlation.With(ctx, ids)
}

// WithCausationID returns a context with that causation id; the correlation id stays. An id that is not valid is dropped.
func WithCausationID(ctx context.Context, id string) context.Context {
	ids := correlation.From(ctx)
	ids.Causation = ""
	if correlation.Valid(id) {
		ids.Causation = id
	}
	return correlation.With(ctx, ids)
}

type principalKey struct{}

// WithPrincipal returns a context whose log lines name principal, and lets the access line of the request name it too.
// Whoever authenticates calls it; this package knows nothing of tokens.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	if s := stateFrom(ctx); s != nil {
		s.mu.Lock()
		s.principal = principal
		s.mu.Unlock()
	}
	return context.WithValue(ctx, principalKey{}, principal)
}

// Principal is what [WithPrincipal] put in ctx, "" when nothing.
func Principal(ctx context.Context) string {
	p, _ := ctx.Value(principalKey{}).(string)
	return p
}

// requestState is what inner layers tell the outermost one. It is reached through the context, so it survives every
// middleware that replaces the request.
type requestState struct {
	mu        sync.Mutex
	route     string
	principal string
	errorType string
	err       error
}

type stateKey struct{}

func stateFrom(ctx context.Context) *requestState {
	s, _ := ctx.Value(stateKey{}).(*requestState)
	return s
}

// Route tells the telemetry of a request which route took it, then calls next. The pattern is one of http.ServeMux, such
// as "GET /pets/{id}"; method and host are left out of the label. Put it between the mux and everything else: it works
// whatever the middleware between [Telemetry.Middleware] and the mux does with the request.
func Route(pattern string, next http.Handler) http.Handler {
	route := routeOf(pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setRoute(r.Context(), route)
		next.ServeHTTP(w, r)
	})
}

// Probe wraps a whole http.ServeMux: what [Route] does for one route, for all of them. The route is known after the
// handler returned, so log lines and child spans within do not have it; the metric, the span and the access line do.
func Probe(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if r.Pattern != "" { // written by ServeMux into exactly this request
				setRoute(r.Context(), routeOf(r.Pattern))
			}
		}()
		mux.ServeHTTP(w, r)
	})
}

func setRoute(ctx context.Context, route string) {
	if s := stateFrom(ctx); s != nil {
		s.mu.Lock()
		s.route = route
		s.mu.Unlock()
	}
}

// routeOf cuts "GET example.com/pets/{id}" down to "/pets/{id}".
func routeOf(pattern string) string {
	if i := strings.IndexByte(pattern, '/'); i >= 0 {
		return pattern[i:]
	}
	return unmatched
}

// Fail tells the telemetry of the request in ctx what went wrong inside: errorType is of a small closed set, such as
// "timeout" or "panic", and becomes an attribute; err goes into span and access line, masked. The first call wins.
// Without a request in ctx it does nothing.
func Fail(ctx context.Context, errorType string, err error) {
	if s := stateFrom(ctx); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.errorType == "" {
			s.errorType, s.err = errorType, err
		}
	}
}
