package observability_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/observability"
)

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := observability.New(observability.Config{LogLevel: "loud", TraceRatio: 2})
	require.ErrorContains(t, err, "Service is empty")
	require.ErrorContains(t, err, `log level "loud" is unknown`)
	require.ErrorContains(t, err, "trace ratio 2 is outside 0 to 1")
}

func TestLogLevelChangesForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(c *observability.Config) { c.LogLevel = "info" })
		child := f.Logger().Named("made before the change")
		child.Debug("1")
		require.NoError(t, f.SetLogLevel("debug", time.Minute))
		child.Debug("2")
		assert.Equal(t, "debug", f.LogLevel())
		time.Sleep(time.Minute)
		child.Debug("3")
		require.NoError(t, f.SetLogLevel("error", 0))
		child.Info("4")
		require.Error(t, f.SetLogLevel("shout", 0))
		child.Error("5")
		var got []string
		for _, l := range f.log.lines(t) {
			got = append(got, l["msg"].(string))
		}
		assert.Equal(t, []string{"2", "5"}, got)
	})
}

func TestTraceRatioChangesForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		work := func() {
			_, span := f.Tracer("test").Start(t.Context(), "work")
			span.End()
		}
		require.NoError(t, f.SetTraceRatio(0, time.Minute))
		work()
		assert.Empty(t, f.spans.GetSpans())
		time.Sleep(time.Minute)
		work()
		assert.Len(t, f.spans.GetSpans(), 1)
		require.Error(t, f.SetTraceRatio(-1, 0))
	})
}

func TestDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bad := errors.New("dial postgres://app:hunter22@db: refused")
	require.NoError(t, observability.Do(t.Context(), f.Telemetry, "good", func(ctx context.Context) error {
		f.Log(ctx).Info("inside")
		return nil
	}, attribute.String("pet", "7")))
	require.ErrorIs(t, observability.Do(t.Context(), f.Telemetry, "bad", func(context.Context) error { return bad }), bad)
	canceled, cancel := context.WithCancel(t.Context())
	err := observability.Do(canceled, f.Telemetry, "canceled", func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.PanicsWithValue(t, "boom", func() {
		_ = observability.Do(t.Context(), f.Telemetry, "panicking", func(context.Context) error { panic("boom") })
	})
	n, err := observability.Value(t.Context(), nil, "without telemetry", func(context.Context) (int, error) { return 7, nil })
	require.NoError(t, err)
	assert.Equal(t, 7, n)

	assert.Equal(t, f.span(t, "good").SpanContext.SpanID().String(), f.log.line(t, "inside")["span_id"])
	assert.Equal(t, codes.Error, f.span(t, "bad").Status.Code)
	assert.NotContains(t, f.span(t, "bad").Status.Description, "hunter22")
	assert.Equal(t, codes.Unset, f.span(t, "canceled").Status.Code)
	text := f.metrics(t)
	for _, want := range []string{
		`operation="good",outcome="ok"`, `operation="bad",outcome="error"`, `operation="canceled",outcome="canceled"`,
		`operation="panicking",outcome="panic"`,
	} {
		assert.Contains(t, text, "mmf_operation_duration_seconds_count{"+want+"} 1")
	}
	assert.NotContains(t, text, `pet="7"`)
}

func TestLabelsThatCallersChooseAreDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	c, err := f.Meter("test").Int64Counter("requests")
	require.NoError(t, err)
	for _, host := range []string{"a", "b"} {
		c.Add(t.Context(), 1, metric.WithAttributes(attribute.String("server.address", host), attribute.String("url.path", host),
			attribute.String("correlation_id", host), attribute.String("kind", "x")))
	}
	assert.Contains(t, f.metrics(t), "\nrequests_total{kind=\"x\"} 2.0")
}

func TestTwoTelemetriesShareNothing(t *testing.T) {
	t.Parallel()
	a, b := newFixture(t), newFixture(t, func(c *observability.Config) { c.Service = "other" })
	require.NoError(t, observability.Do(t.Context(), a.Telemetry, "only-a", func(context.Context) error { return nil }))
	a.Logger().Info("only a")
	assert.NotContains(t, b.metrics(t), "only-a")
	assert.Empty(t, b.log.String())
	assert.Contains(t, b.metrics(t), `service_name="other"`)
	assert.Equal(t, "other", b.Service())
}

func TestShutdownIsIdempotentAndLoggingOutlivesIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.Shutdown(t.Context()))
	require.NoError(t, f.Shutdown(t.Context()))
	f.Logger().Info("after")
	f.log.line(t, "after")
	require.NoError(t, observability.Do(t.Context(), f.Telemetry, "late", func(context.Context) error { return nil }))
}

func TestLogLinesCarryOnlyWhatTheContextHas(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.Log(t.Context()).Info("bare")
	ctx := observability.WithCausationID(observability.WithCorrelationID(t.Context(), "c-1"), "m-1")
	ctx = observability.WithPrincipal(ctx, "eve\r\n\x1b[31m"+strings.Repeat("x", 10<<10))
	f.Log(ctx).Info("full")
	bare, full := f.log.line(t, "bare"), f.log.line(t, "full")
	for _, key := range []string{"correlation_id", "causation_id", "trace_id", "span_id", "principal"} {
		assert.NotContains(t, bare, key)
	}
	assert.Equal(t, "c-1", full["correlation_id"])
	assert.Equal(t, "m-1", full["causation_id"])
	assert.LessOrEqual(t, len(full["principal"].(string)), 140)
	assert.NotContains(t, full["principal"], "\x1b")
}

func TestCorrelationIDsAreChecked(t *testing.T) {
	t.Parallel()
	ctx := observability.WithCorrelationID(t.Context(), "bad id")
	assert.NotEmpty(t, observability.CorrelationID(ctx))
	assert.NotEqual(t, "bad id", observability.CorrelationID(ctx))
	assert.Empty(t, observability.CausationID(observability.WithCausationID(ctx, "bad id")))
	assert.Equal(t, "m", observability.CausationID(observability.WithCausationID(ctx, "m")))
}
