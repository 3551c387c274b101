package observability_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/internal/correlation"
	"github.com/marty-framework/mmf/observability"
)

const (
	parentTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentSpan  = "00f067aa0ba902b7"
	parent      = "00-" + parentTrace + "-" + parentSpan + "-01"
)

// The cases follow the W3C validation suite for trace-context: what must continue the caller's trace and what must not.
func TestW3CTraceContext(t *testing.T) {
	t.Parallel()
	thirtyTwo := make([]string, 32)
	for i := range thirtyTwo {
		thirtyTwo[i] = "k" + strconv.Itoa(i) + "=v"
	}
	cases := []struct {
		name      string
		parents   []string
		states    []string
		continues bool
		state     string
	}{
		{name: "both", parents: []string{parent}, states: []string{"foo=1,bar=2"}, continues: true, state: "foo=1,bar=2"},
		{name: "no header"},
		{name: "two traceparents", parents: []string{parent, parent}},
		{name: "two different traceparents", parents: []string{parent, strings.Replace(parent, "4bf9", "5bf9", 1)}},
		{name: "empty traceparent", parents: []string{""}},
		{name: "spaces around it", parents: []string{" " + parent + " "}, continues: true},
		{name: "upper case", parents: []string{strings.ToUpper(parent)}},
		{name: "version ff", parents: []string{"ff" + parent[2:]}},
		{name: "version of one digit", parents: []string{"0" + parent[2:]}},
		{name: "version cc", parents: []string{"cc" + parent[2:]}, continues: true},
		{name: "version cc with more", parents: []string{"cc" + parent[2:] + "-what-the-future"}, continues: true},
		{name: "version cc with more, no dash", parents: []string{"cc" + parent[2:] + ".what"}},
		{name: "version 00 with more", parents: []string{parent + "-what"}},
		{name: "version 00 with a dash", parents: []string{parent + "-"}},
		{name: "trace id zero", parents: []string{"00-" + strings.Repeat("0", 32) + "-" + parentSpan + "-01"}},
		{name: "trace id short", parents: []string{"00-" + parentTrace[1:] + "-" + parentSpan + "-01"}},
		{name: "trace id long", parents: []string{"00-" + parentTrace + "a-" + parentSpan + "-01"}},
		{name: "trace id illegal", parents: []string{"00-" + strings.Replace(parentTrace, "4", ".", 1) + "-" + parentSpan + "-01"}},
		{name: "span id zero", parents: []string{"00-" + parentTrace + "-0000000000000000-01"}},
		{name: "span id short", parents: []string{"00-" + parentTrace + "-" + parentSpan[1:] + "-01"}},
		{name: "flags illegal", parents: []string{parent[:53] + ".0"}},
		{name: "flags short", parents: []string{parent[:54]}},
		{name: "flags long", parents: []string{parent + "0"}},
		{name: "state in two headers", parents: []string{parent}, states: []string{"foo=1", "bar=2"}, continues: true, state: "foo=1,bar=2"},
		{
			name: "state, empty headers between", parents: []string{parent}, states: []string{"foo=1", "", "bar=2"},
			continues: true, state: "foo=1,bar=2",
		},
		{name: "state, empty members", parents: []string{parent}, states: []string{"foo=1, ,,bar=2,"}, continues: true, state: "foo=1,bar=2"},
		{name: "state, spaces and tabs", parents: []string{parent}, states: []string{"foo=1 \t, \tbar=2"}, continues: true, state: "foo=1,bar=2"},
		{name: "state without parent", states: []string{"foo=1"}},
		{
			name: "state of 32", parents: []string{parent}, states: []string{strings.Join(thirtyTwo, ",")},
			continues: true, state: strings.Join(thirtyTwo, ","),
		},
		{name: "state of 33 is dropped", parents: []string{parent}, states: []string{strings.Join(thirtyTwo, ",") + ",x=y"}, continues: true},
		{name: "state with a bad key is dropped", parents: []string{parent}, states: []string{"foo =1"}, continues: true},
		{
			name: "state with a vendor", parents: []string{parent}, states: []string{"fw529a3039@dt=FfK1"},
			continues: true, state: "fw529a3039@dt=FfK1",
		},
		{name: "state with a repeated key is dropped", parents: []string{parent}, states: []string{"foo=1,foo=2"}, continues: true},
		{name: "state with a bad value is dropped", parents: []string{parent}, states: []string{"foo=bar=baz"}, continues: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Traceparent"], r.Header["Tracestate"] = c.parents, c.states
			f.Middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
			span := f.span(t, "GET unmatched")
			assert.Equal(t, c.continues, span.SpanContext.TraceID().String() == parentTrace)
			assert.Equal(t, c.continues, span.Parent.IsValid())
			assert.Equal(t, c.state, span.SpanContext.TraceState().String())
		})
	}
}

func TestMessagesCarryTheIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := observability.WithCausationID(observability.WithCorrelationID(t.Context(), "order-1"), "event-1")
	ctx, span := f.Tracer("test").Start(ctx, "send")
	headers := map[string]string{}
	f.Inject(ctx, headers)
	span.End()
	assert.Equal(t, "order-1", headers["correlation-id"])
	assert.Equal(t, "event-1", headers["causation-id"])

	got := f.Extract(t.Context(), headers)
	assert.Equal(t, "order-1", observability.CorrelationID(got))
	assert.Equal(t, "event-1", observability.CausationID(got))
	assert.Equal(t, span.SpanContext().TraceID(), trace.SpanContextFromContext(got).TraceID())
	assert.True(t, trace.SpanContextFromContext(got).IsRemote())
	f.Inject(ctx, nil) // nothing to write to, no panic
}

func TestExtractDistrustsMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got := f.Extract(t.Context(), map[string]string{"correlation-id": "a\r\nb", "causation-id": "\xff", "traceparent": "00-zz"})
	assert.True(t, correlation.Valid(observability.CorrelationID(got)))
	assert.Empty(t, observability.CausationID(got))
	assert.False(t, trace.SpanContextFromContext(got).IsValid())
	kept := f.Extract(observability.WithCorrelationID(t.Context(), "outer"), nil)
	assert.Equal(t, "outer", observability.CorrelationID(kept))
}

// FuzzExtract: whatever a message says, the ids that come out are valid and can be sent on.
func FuzzExtract(f *testing.F) {
	f.Add(parent, "foo=1,bar=2", "order-1")
	f.Add("00-0-0-0", ",,,", "a\nb")
	f.Fuzz(func(t *testing.T, traceparent, tracestate, id string) {
		tel, err := observability.New(observability.Config{Service: "x", DisableRuntimeMetrics: true})
		require.NoError(t, err)
		ctx := tel.Extract(context.Background(), map[string]string{"traceparent": traceparent, "tracestate": tracestate, "correlation-id": id})
		out := map[string]string{}
		tel.Inject(ctx, out)
		require.True(t, correlation.Valid(out["correlation-id"]))
		if tp, ok := out["traceparent"]; ok {
			require.Len(t, tp, 55)
		}
		require.NotContains(t, out["tracestate"], "\n")
	})
}

func TestTransport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var seen http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header
		w.WriteHeader(http.StatusTeapot)
	}))
	base := http.DefaultTransport.(*http.Transport).Clone()
	client := &http.Client{Transport: f.Transport(base)}
	ctx, span := f.Tracer("test").Start(observability.WithCorrelationID(t.Context(), "order-1"), "outer")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/pets?secret=1", nil)
	require.NoError(t, err)
	req.Header.Set("traceparent", "stale")
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "stale", req.Header.Get("traceparent"), "the caller's request was changed")
	assert.Equal(t, "order-1", seen.Get("X-Correlation-ID"))
	assert.Contains(t, seen.Get("traceparent"), span.SpanContext().TraceID().String())
	assert.Equal(t, f.span(t, "GET").SpanContext.SpanID().String(), seen.Get("traceparent")[36:52])

	server.Close()
	_, err = client.Do(req)
	require.Error(t, err)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = client.Do(req.WithContext(canceled))
	require.ErrorIs(t, err, context.Canceled)
	span.End()
	client.CloseIdleConnections()

	text := f.metrics(t)
	assert.Contains(t, text, `http_client_request_duration_seconds_count{`+
		`http_request_method="GET",http_response_status_code="418",server_address="127.0.0.1"} 1`)
	assert.Contains(t, text, `error_type="connection",http_request_method="GET",server_address="127.0.0.1"} 1`)
	assert.Contains(t, text, `error_type="canceled"`)
	for _, s := range f.spans.GetSpans() {
		for _, a := range s.Attributes {
			assert.NotContains(t, a.Value.String(), "secret")
		}
	}
}
