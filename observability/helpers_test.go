package observability_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/observability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a log writer whose lines can be read back.
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

// lines parses every line; one that is not a JSON object fails the test.
func (s *sink) lines(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(s.String()) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), "line %q", line)
		out = append(out, m)
	}
	return out
}

// line returns the only line with that message.
func (s *sink) line(t *testing.T, msg string) map[string]any {
	t.Helper()
	var found []map[string]any
	for _, l := range s.lines(t) {
		if l["msg"] == msg {
			found = append(found, l)
		}
	}
	require.Len(t, found, 1, "lines %q in:\n%s", msg, s)
	return found[0]
}

type fixture struct {
	*observability.Telemetry
	log   *sink
	spans *tracetest.InMemoryExporter
}

func newFixture(t *testing.T, change ...func(*observability.Config)) fixture {
	t.Helper()
	f := fixture{log: &sink{}, spans: tracetest.NewInMemoryExporter()}
	cfg := observability.Config{
		Service: "shop", LogWriter: f.log, LogLevel: "debug", DisableRuntimeMetrics: true,
		SpanProcessors: []sdktrace.SpanProcessor{sdktrace.NewSimpleSpanProcessor(f.spans)},
	}
	for _, c := range change {
		c(&cfg)
	}
	tel, err := observability.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.WithoutCancel(t.Context()))) })
	f.Telemetry = tel
	return f
}

func (f fixture) metrics(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	f.MetricsHandler().ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code)
	return w.Body.String()
}

func (f fixture) span(t *testing.T, name string) tracetest.SpanStub {
	t.Helper()
	for _, s := range f.spans.GetSpans() {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no such span", "%q", name)
	return tracetest.SpanStub{}
}
