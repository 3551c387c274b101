package service_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

func TestRoutesThatAreRefused(t *testing.T) {
	t.Parallel()
	ok := service.Route{Pattern: "GET /ok/{id}", Operation: "ok", Policy: security.Public(), Handler: http.NotFoundHandler()}
	withBody := service.JSON(func(context.Context, struct{ Name string }) (struct{}, error) { return struct{}{}, nil })
	withPath := service.JSON(func(context.Context, GetPet) (struct{}, error) { return struct{}{}, nil })
	open := service.JSON(func(context.Context, struct {
		Owner string `header:"X-Owner"`
	},
	) (struct{}, error) {
		return struct{}{}, nil
	})
	odd := service.JSON(func(context.Context, struct {
		C chan int `query:"c" json:"-"`
	},
	) (struct{}, error) {
		return struct{}{}, nil
	})
	cases := map[string]struct {
		change func(*service.Route)
		want   string
	}{
		"no policy":             {func(r *service.Route) { r.Policy = security.Policy{} }, "it has no policy"},
		"invalid policy":        {func(r *service.Route) { r.Policy = security.AnyRole() }, "AnyRole needs at least one role"},
		"nobody to ask":         {func(r *service.Route) { r.Policy = security.Authenticated() }, "the service has no Authenticator"},
		"no method":             {func(r *service.Route) { r.Pattern = "/a" }, "needs a method in front"},
		"odd method":            {func(r *service.Route) { r.Pattern = "YELL /a" }, "needs a method in front"},
		"health":                {func(r *service.Route) { r.Pattern = "GET /healthz" }, "is answered by the service itself"},
		"no operation":          {func(r *service.Route) { r.Operation = "" }, "Operation must be 1 to 64"},
		"odd operation":         {func(r *service.Route) { r.Operation = "a b" }, "Operation must be 1 to 64"},
		"operation twice":       {func(r *service.Route) { r.Operation = "ok" }, `the operation is already that of "GET /ok/{id}"`},
		"no handler":            {func(r *service.Route) { r.Handler = nil }, "Handler is nil"},
		"pattern twice":         {func(r *service.Route) { r.Pattern = "GET /ok/{other}" }, "conflicts with pattern"},
		"pattern in conflict":   {func(r *service.Route) { r.Pattern = "GET /{any}/x" }, "conflicts with pattern"},
		"bad pattern":           {func(r *service.Route) { r.Pattern = "GET /{" }, "cannot be registered"},
		"limit without limiter": {func(r *service.Route) { r.Limit = "1/s" }, "the service has no Limiter"},
		"bad limit":             {func(r *service.Route) { r.Limit = "often" }, `limit "often"`},
		"negative timeout":      {func(r *service.Route) { r.Timeout = -2 }, "Timeout is -2ns"},
		"negative body":         {func(r *service.Route) { r.MaxBody = -1 }, "MaxBody is -1"},
		"body of a GET":         {func(r *service.Route) { r.Handler = withBody }, "wants a body, which GET has not"},
		"path value":            {func(r *service.Route) { r.Handler = withPath }, `wants the path value "id", which the pattern lacks`},
		"open to the body":      {func(r *service.Route) { r.Handler = open }, "field Owner"},
		"odd parameter":         {func(r *service.Route) { r.Handler = odd }, "a parameter cannot be a chan int"},
		"nil function":          {func(r *service.Route) { r.Handler = service.JSON[struct{}, struct{}](nil) }, "is nil"},
		"status":                {func(r *service.Route) { r.Handler = service.JSON(withNothing, service.Status(404)) }, "not a success"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, service.Config{}, service.Deps{})
			require.NoError(t, f.Handle(ok))
			r := service.Route{Pattern: "GET /a", Operation: "a", Policy: security.Public(), Handler: http.NotFoundHandler()}
			c.change(&r)
			err := f.Handle(r)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, `route "`+r.Pattern+`"`)
			assert.Len(t, f.Routes(), 1)
			require.ErrorContains(t, f.Run(t.Context()), c.want, "Run refuses as well")
		})
	}
}

func withNothing(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }

func TestConfigNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := service.New(service.Config{ReadTimeout: -1, AdminToken: "short", Addr: ":65000"}, service.Deps{})
	for _, want := range []string{"Name is empty", "ReadTimeout is -1ns", "AdminToken is shorter", `":65000" leaves no room`} {
		require.ErrorContains(t, err, want)
	}
	for addr, want := range map[string]string{"8080": "missing port", ":http": "must be a number", ":70000": "must be a number"} {
		_, err := service.New(service.Config{Name: "x", Addr: addr}, service.Deps{})
		require.ErrorContains(t, err, want)
	}
}

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	problem(t, f.do(t, http.MethodGet, "/nothing", ""), http.StatusNotFound)
	for _, method := range []string{http.MethodDelete, http.MethodTrace, "YELL", http.MethodOptions} {
		w := f.do(t, method, "/x", "")
		problem(t, w, http.StatusMethodNotAllowed)
		assert.Equal(t, "GET, HEAD, POST", w.Header().Get("Allow"))
	}
	for _, path := range []string{"/debug/pprof/", "/metrics", "/routes", "/.git", "/admin", "/debug/vars"} {
		problem(t, f.do(t, http.MethodGet, path, ""), http.StatusNotFound)
	}
	assert.Equal(t, 200, f.do(t, http.MethodHead, "/x", "").Code)
}

func TestSecurityHeadersCanBeReplacedByAHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
	})
	h := f.do(t, http.MethodGet, "/x", "").Header()
	assert.Equal(t, "default-src 'self'", h.Get("Content-Security-Policy"))
	assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
	assert.Equal(t, "DENY", h.Get("X-Frame-Options"))
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	left := make(chan time.Duration, 1)
	note := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if d, ok := r.Context().Deadline(); ok {
			left <- time.Until(d)
			return
		}
		left <- 0
	})
	silent := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := security.Public()
	require.NoError(t, f.Handle(
		service.Route{Pattern: "GET /minute", Operation: "minute", Policy: p, Timeout: time.Minute, Handler: note},
		service.Route{Pattern: "GET /default", Operation: "default", Policy: p, Handler: note},
		service.Route{Pattern: "GET /stream", Operation: "stream", Policy: p, Timeout: service.NoTimeout, Handler: note},
		service.Route{Pattern: "GET /silent", Operation: "silent", Policy: p, Timeout: time.Millisecond, Handler: silent},
	))
	for _, c := range []struct {
		path, header string
		want         time.Duration
	}{
		{"/minute", "", time.Minute},
		{"/minute", "2000", 2 * time.Second},
		{"/minute", "600000", time.Minute},
		{"/minute", "-1", time.Minute},
		{"/minute", "0", time.Minute},
		{"/minute", "soon", time.Minute},
		{"/minute", "99999999999999999999", time.Minute},
		{"/default", "", 30 * time.Second},
		{"/stream", "", 0},
	} {
		f.do(t, http.MethodGet, c.path, "", "X-Request-Timeout-Ms", c.header)
		assert.InDelta(t, c.want.Seconds(), (<-left).Seconds(), 1.5, "%s %q", c.path, c.header)
	}
	got := problem(t, f.do(t, http.MethodGet, "/silent", ""), http.StatusGatewayTimeout)
	assert.Equal(t, true, got["retryable"])
}
