package sagaotel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagaotel"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct{ Item string }

var approval = saga.NewSignal[bool]("approval")

// buy reserves, fails once and then succeeds at charging, waits for an approval, and is refused at shipping.
func buy() *saga.Def[order] {
	nothing := func(saga.Ctx, order, saga.None) error { return nil }
	return saga.Define("buy", 1,
		saga.Step("reserve", func(c saga.Ctx, _ order) (saga.None, error) {
			_, span := trace.SpanFromContext(c).TracerProvider().Tracer("stock").Start(c, "GET /stock")
			span.End()
			return saga.None{}, nil
		}).Undo(nothing),
		saga.Step("charge", func(c saga.Ctx, _ order) (saga.None, error) {
			if c.Attempt() == 1 {
				return saga.None{}, errors.New("the bank is away")
			}
			return saga.None{}, nil
		}).Undo(nothing).Retry(saga.Retry{Max: 3, First: time.Millisecond}),
		saga.Await(approval, func(*order, bool) error { return nil }).Within(time.Hour),
		saga.Step("ship", func(saga.Ctx, order) (saga.None, error) { return saga.None{}, saga.Reject("no box is big enough") }),
	)
}

// shop is one process: telemetry and an engine of its own.
type shop struct {
	spans   *tracetest.InMemoryExporter
	traces  *sdktrace.TracerProvider
	metrics http.Handler
	engine  *saga.Engine
	def     *saga.Def[order]
	stop    func()
}

func open(t testing.TB, store saga.Store, sampler sdktrace.Sampler) *shop {
	t.Helper()
	s := &shop{spans: tracetest.NewInMemoryExporter(), def: buy()}
	s.traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans), sdktrace.WithSampler(sdktrace.ParentBased(sampler)))
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	require.NoError(t, err)
	s.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	tel, err := sagaotel.New(sagaotel.Config{
		TracerProvider: s.traces, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)), CensusEvery: time.Nanosecond,
	})
	require.NoError(t, err)
	s.engine, err = saga.New(tel.Instrument(saga.Config{Poll: 5 * time.Millisecond}), store, s.def)
	require.NoError(t, err)
	unobserve, err := tel.Observe(s.engine)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.engine.Run(ctx) }()
	s.stop = func() { cancel(); require.NoError(t, <-done); require.NoError(t, unobserve()) }
	require.Eventually(t, s.engine.Running, 10*time.Second, time.Millisecond)
	return s
}

func newStore(t testing.TB) saga.Store {
	t.Helper()
	db, err := datasqlite.Open(context.Background(), datasqlite.Config{Path: datasqlite.Memory})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := sagasqlite.New(context.Background(), db)
	require.NoError(t, err)
	return store
}

func (s *shop) scrape(t testing.TB) []string {
	t.Helper()
	rec := httptest.NewRecorder()
	s.metrics.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(rec.Body)
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "mmf_") && !strings.Contains(line, "_bucket{") && !strings.Contains(line, "_sum") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// One trace shows a saga that retries, waits, goes on in another process and is taken back there.
func TestOneTraceOverTwoEngines(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	first := open(t, store, sdktrace.AlwaysSample())
	ctx, caller := first.traces.Tracer("test").Start(t.Context(), "POST /orders")
	_, err := first.def.Start(ctx, first.engine, "o1", order{Item: "box"})
	require.NoError(t, err)
	caller.End()
	require.Eventually(t, func() bool {
		st, err := first.engine.Status(t.Context(), "o1")
		return err == nil && st.Steps[2].Status == "waiting"
	}, 10*time.Second, time.Millisecond)
	first.stop()

	second := open(t, store, sdktrace.NeverSample()) // it follows the trace's own decision
	require.NoError(t, approval.Send(t.Context(), second.engine, "o1", true))
	run, err := second.def.Find(t.Context(), second.engine, "o1")
	require.NoError(t, err)
	_, err = run.Result(t.Context())
	require.ErrorAs(t, err, new(*saga.CompensatedError))
	second.stop()

	require.Equal(t, []string{
		"GET /stock < reserve", "POST /orders", "charge < start buy", "charge < start buy: Error the bank is away", "reserve < start buy",
		"start buy < POST /orders",
	}, tree(t, caller, first, second)[0])
	require.Equal(t, []string{
		"await approval < start buy: done", "buy < start buy: compensated", "compensate buy < start buy",
		"ship < start buy: rejected", "undo charge < start buy", "undo reserve < start buy",
	}, tree(t, caller, first, second)[1])
}

// tree lists the spans of each process as "name < parent: outcome", all of one trace.
func tree(t *testing.T, root trace.Span, shops ...*shop) [][]string {
	t.Helper()
	names := map[trace.SpanID]string{}
	for _, s := range shops {
		for _, span := range s.spans.GetSpans() {
			names[span.SpanContext.SpanID()] = span.Name
		}
	}
	var out [][]string
	for _, s := range shops {
		var lines []string
		for _, span := range s.spans.GetSpans() {
			require.Equal(t, root.SpanContext().TraceID(), span.SpanContext.TraceID())
			line := span.Name
			if span.Parent.IsValid() {
				line += " < " + names[span.Parent.SpanID()]
			}
			outcome := ""
			for _, a := range span.Attributes {
				if a.Key == "saga.outcome" {
					outcome = ": " + a.Value.AsString()
				}
			}
			if span.Status.Description != "" {
				outcome = ": " + span.Status.Code.String() + " " + span.Status.Description
			}
			lines = append(lines, line+outcome)
		}
		slices.Sort(lines)
		out = append(out, lines)
	}
	return out
}

// A saga whose start was not sampled has no spans at all.
func TestUnsampledSagasHaveNoSpans(t *testing.T) {
	t.Parallel()
	s := open(t, newStore(t), sdktrace.NeverSample())
	run, err := s.def.Start(t.Context(), s.engine, "o1", order{})
	require.NoError(t, err)
	require.NoError(t, approval.Send(t.Context(), s.engine, "o1", true))
	_, err = run.Result(t.Context())
	require.Error(t, err)
	s.stop()
	require.Empty(t, s.spans.GetSpans())
}

// The names and labels that dashboards and alerts use, as Prometheus shows them.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	s := open(t, newStore(t), sdktrace.NeverSample())
	var runs []*saga.Run[order]
	for i := range 3 {
		run, err := s.def.Start(t.Context(), s.engine, saga.ID(fmt.Sprint("o", i)), order{})
		require.NoError(t, err)
		runs = append(runs, run)
	}
	waiting := func(n int) func() bool {
		want := fmt.Sprintf(`mmf_saga_inflight{saga="buy",status="waiting"} %d`, n)
		return func() bool { return slices.Contains(s.scrape(t), want) }
	}
	require.Eventually(t, waiting(3), 10*time.Second, 5*time.Millisecond)
	for _, run := range runs[:2] {
		require.NoError(t, approval.Send(t.Context(), s.engine, run.ID(), true))
		_, err := run.Result(t.Context())
		require.Error(t, err)
	}
	require.Eventually(t, waiting(1), 10*time.Second, 5*time.Millisecond)
	lines := s.scrape(t)
	for _, want := range []string{
		`mmf_saga_started_total{saga="buy"} 3`,
		`mmf_saga_finished_total{outcome="compensated",saga="buy"} 2`,
		`mmf_saga_duration_seconds_count{outcome="compensated",saga="buy"} 2`,
		`mmf_saga_step_duration_seconds_count{direction="forward",outcome="done",saga="buy",step="reserve"} 3`,
		`mmf_saga_step_duration_seconds_count{direction="forward",outcome="failed",saga="buy",step="charge"} 3`,
		`mmf_saga_step_duration_seconds_count{direction="forward",outcome="rejected",saga="buy",step="ship"} 2`,
		`mmf_saga_step_duration_seconds_count{direction="compensate",outcome="done",saga="buy",step="charge"} 2`,
		`mmf_saga_wait_duration_seconds_count{kind="await",outcome="done",saga="buy",step="approval"} 2`,
		`mmf_saga_compensations_total{saga="buy"} 2`,
		`mmf_saga_inflight{saga="buy",status="running"} 0`,
		`mmf_saga_inflight{saga="buy",status="parked"} 0`,
		`mmf_saga_oldest_age_seconds{saga="buy"} 0`,
		`mmf_saga_writer_queue 0`,
	} {
		require.Contains(t, lines, want)
	}
	for _, prefix := range []string{`mmf_saga_flush_duration_seconds_count{outcome="done"} `, "mmf_saga_flush_records_count ", "mmf_saga_flush_size_bytes_count "} {
		require.True(t, slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }), prefix)
	}
	for _, l := range lines {
		require.NotContains(t, l, "o1", "an id is no label")
	}
	s.stop()
}

// Events that need a fault to happen have their names too.
func TestMetricsOfFaults(t *testing.T) {
	t.Parallel()
	s := open(t, newStore(t), sdktrace.NeverSample())
	defer s.stop()
	registry := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutScopeInfo())
	require.NoError(t, err)
	s.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	tel, err := sagaotel.New(sagaotel.Config{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))})
	require.NoError(t, err)
	h, ctx := tel.Hooks(), t.Context()
	ev := saga.SagaEvent{Saga: "buy", ID: "o1", Step: "ship", Reason: "SAFE-9: it went wrong"}
	h.Unknown(ctx, ev)
	h.Parked(ctx, ev)
	h.Refused(ctx, ev)
	h.Violated(ctx, ev)
	h.Hung(ctx, saga.AttemptEvent{Saga: "buy", ID: "o1", Step: "ship", Direction: saga.Do, Outcome: "unknown", Err: errors.New("deaf")})
	h.Recovered(ctx, saga.NodeEvent{Saga: "buy", Sagas: 7})
	h.Fenced(ctx, saga.NodeEvent{Saga: "buy", Lanes: 16})
	h.Failed(ctx, errors.New("away"))
	h.Flushed(ctx, saga.FlushEvent{Err: errors.New("away"), Waiting: 4})
	require.Subset(t, s.scrape(t), []string{
		`mmf_saga_unknown_total{saga="buy",step="ship"} 1`, `mmf_saga_parked_total{saga="buy",step="ship"} 1`,
		`mmf_saga_refused_signals_total{saga="buy"} 1`, `mmf_saga_violations_total{promise="SAFE-9",saga="buy"} 1`,
		`mmf_saga_hung_total{saga="buy",step="ship"} 1`, `mmf_saga_recovered_total{saga="buy"} 7`, `mmf_saga_fenced_total{saga="buy"} 16`,
		`mmf_saga_errors_total 1`, `mmf_saga_flush_duration_seconds_count{outcome="failed"} 1`, `mmf_saga_writer_queue 4`,
	})
}
