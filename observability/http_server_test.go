package observability_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/correlation"
	"github.com/marty-framework/mmf/observability"
)

func TestRequestLeavesSpanMetricAndLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mux := http.NewServeMux()
	mux.Handle("GET /pets/{id}", observability.Route("GET /pets/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := observability.WithPrincipal(r.Context(), "alice")
		f.Log(ctx).Info("looking")
		_, _ = io.WriteString(w, "Buddy")
	})))
	r := httptest.NewRequest(http.MethodGet, "/pets/7?token=hidden", nil)
	r.Header.Set("X-Correlation-ID", "order-1")
	r.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	w := httptest.NewRecorder()
	f.Middleware(mux).ServeHTTP(w, r)

	assert.Equal(t, "order-1", w.Header().Get("X-Correlation-ID"))
	inner, access := f.log.line(t, "looking"), f.log.line(t, "request")
	for _, line := range []map[string]any{inner, access} {
		assert.Equal(t, "shop", line["service"])
		assert.Equal(t, "order-1", line["correlation_id"])
		assert.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", line["trace_id"])
		assert.Equal(t, "alice", line["principal"])
	}
	assert.Equal(t, "/pets/{id}", access["route"])
	assert.Equal(t, "/pets/7", access["path"])
	assert.EqualValues(t, 200, access["status"])
	assert.EqualValues(t, 5, access["bytes"])
	assert.NotContains(t, f.log.String(), "hidden")

	span := f.span(t, "GET /pets/{id}")
	assert.Equal(t, "00f067aa0ba902b7", span.Parent.SpanID().String())
	assert.Equal(t, inner["span_id"], span.SpanContext.SpanID().String())

	text := f.metrics(t)
	want := `http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/pets/{id}"} 1`
	assert.Contains(t, text, want)
	assert.Contains(t, text, `trace_id="4bf92f3577b34da6a3ce929d0e0e4736"`, "no exemplar")
	assert.Contains(t, text, `http_server_active_requests{http_request_method="GET"} 0`)
}

func TestRouteSurvivesMiddlewareThatReplacesTheRequest(t *testing.T) {
	t.Parallel()
	replace := map[string]func(http.Handler) http.Handler{
		"WithContext": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.WithContext(r.Context())) })
		},
		"Clone": func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r.Clone(r.Context())) })
		},
		"StripPrefix": func(next http.Handler) http.Handler { return http.StripPrefix("/x", next) },
	}
	probes := map[string]func() http.Handler{
		"Route": func() http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET host/pets/{id}", http.NotFoundHandler())
			mux.Handle("GET /pets/{id}", observability.Route("GET /pets/{id}", http.NotFoundHandler()))
			return mux
		},
		"Probe": func() http.Handler {
			mux := http.NewServeMux()
			mux.Handle("GET /pets/{id}", http.NotFoundHandler())
			return observability.Probe(mux)
		},
	}
	for name, middleware := range replace {
		for kind, probe := range probes {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				path := "/pets/7"
				if name == "StripPrefix" {
					path = "/x/pets/7"
				}
				f.Middleware(middleware(probe())).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
				assert.Equal(t, "/pets/{id}", f.log.line(t, "request")["route"])
				assert.Contains(t, f.metrics(t), `http_route="/pets/{id}"`)
				f.span(t, "GET /pets/{id}")
			})
		}
	}
}

func TestStrangersCannotCreateSeries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	mux := http.NewServeMux()
	mux.Handle("GET /pets", observability.Route("GET /pets", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	h := f.Middleware(mux)
	for i := range 300 {
		r := httptest.NewRequest(http.MethodGet, "/pets", nil)
		r.Host = fmt.Sprintf("h%d.example.com", i)
		r.Header.Set("User-Agent", r.Host)
		h.ServeHTTP(httptest.NewRecorder(), r)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/nothing/%d", i), nil))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(fmt.Sprintf("M%d", i), "/pets", nil))
	}
	var series []string
	for line := range strings.Lines(f.metrics(t)) {
		if strings.HasPrefix(line, "http_server_request_duration_seconds_count") {
			series = append(series, line)
		}
	}
	assert.Len(t, series, 3, "%v", series)
	assert.Contains(t, strings.Join(series, ""), `http_request_method="_OTHER"`)
	assert.Contains(t, strings.Join(series, ""), `http_route="unmatched"`)
}

func TestHostileCorrelationIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := httptest.NewServer(f.Middleware(http.NotFoundHandler()))
	defer server.Close()
	hostile := map[string]string{
		"8 KB": strings.Repeat("a", 8<<10), "129": strings.Repeat("a", 129), "quote": `a"b`, "comma": "a,b", "space": "a b",
		"encoded CRLF": "a%0d%0aSet-Cookie:x=1", "not UTF-8": "a\xff\xfe", "ANSI": "\x1b[2J", "NUL": "a\x00b", "raw LF": "a\nX-Evil: 1",
		"raw CRLF": "a\r\nSet-Cookie: evil=1", "empty": "", "two": "a\r\nX-Correlation-ID: b",
	}
	for name, id := range hostile {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Correlation-ID: %s\r\n\r\n", id)
			require.NoError(t, err)
			reply, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.NotContains(t, string(reply), "Set-Cookie")
			assert.NotContains(t, string(reply), "\x1b")
			if strings.HasPrefix(string(reply), "HTTP/1.1 400") {
				return // the server refused it before anybody saw it
			}
			_, rest, found := strings.Cut(string(reply), "X-Correlation-Id: ")
			require.True(t, found)
			got, _, _ := strings.Cut(rest, "\r\n")
			assert.True(t, correlation.Valid(got), "%q", got)
			if strings.ContainsRune(id, '\n') && name != "two" {
				assert.Equal(t, "a", got) // on the wire a line break ends the header, so the id is a harmless "a"
			} else {
				assert.NotContains(t, id, got, "the id was not replaced")
			}
		})
	}
	f.log.lines(t) // every line is one JSON object
	assert.NotContains(t, f.log.String(), "\x1b")
}

func TestHostilePathsAndAgentsStayOneLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodGet, "/a", nil)
	r.URL.Path = "/a\n{\"level\":\"error\"}\x1b[2J\u009b\u2028" + strings.Repeat("é", 400)
	r.Header.Set("User-Agent", "x\r\ny\x00"+strings.Repeat("z", 4000))
	f.Middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	require.Len(t, f.log.lines(t), 1)
	assert.NotContains(t, f.log.String(), "\u009b")
	assert.NotContains(t, f.log.String(), "\u2028")
	assert.Less(t, len(f.log.String()), 1200)
}

func TestEdgeLinksAStrangersTrace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	f.Middleware(http.NotFoundHandler(), observability.Edge()).ServeHTTP(httptest.NewRecorder(), r)
	span := f.span(t, "GET unmatched") // sampled, although the stranger said not to
	assert.False(t, span.Parent.IsValid())
	assert.NotEqual(t, "4bf92f3577b34da6a3ce929d0e0e4736", span.SpanContext.TraceID().String())
	require.Len(t, span.Links, 1)
	assert.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", span.Links[0].SpanContext.TraceID().String())
}

func TestPanicIsRecordedAndPassesThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	assert.PanicsWithValue(t, "boom", func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
	access := f.log.line(t, "request")
	assert.EqualValues(t, 500, access["status"])
	assert.Equal(t, "panic", access["error_type"])
	assert.Equal(t, "error", access["level"])
	assert.Contains(t, f.metrics(t), `http_server_active_requests{http_request_method="GET"} 0`)
}

func TestFailNamesTheCauseMasked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	h := f.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		observability.Fail(r.Context(), "database", errors.New("dial postgres://app:hunter22@db/orders: refused"))
		observability.Fail(r.Context(), "second", errors.New("a later one does not count"))
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	access := f.log.line(t, "request")
	assert.Equal(t, "database", access["error_type"])
	assert.Contains(t, access["error"], "refused")
	span := f.span(t, "GET unmatched")
	assert.Contains(t, span.Status.Description, "refused")
	assert.NotContains(t, f.log.String()+span.Status.Description, "hunter22")
}

func TestRecorderPassesAbilitiesThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := httptest.NewServer(f.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flush":
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			assert.NoError(t, http.NewResponseController(w).Flush())
			_, _ = io.Copy(w, strings.NewReader("bc"))
		case "/hijack":
			conn, _, err := w.(http.Hijacker).Hijack()
			if assert.NoError(t, err) {
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
				_ = conn.Close()
			}
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		}
	})))
	defer server.Close()
	for path, status := range map[string]int{"/flush": 200, "/hijack": 204, "/early": 418} {
		resp, err := server.Client().Get(server.URL + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, status, resp.StatusCode, path)
		if path == "/flush" {
			assert.Equal(t, "abc", string(body))
		}
	}
	server.Close()
	text := f.metrics(t)
	assert.Contains(t, text, `http_response_status_code="418"`)
	assert.Contains(t, text, `http_response_status_code="101"`)
}
