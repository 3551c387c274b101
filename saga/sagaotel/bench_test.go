package sagaotel_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagaotel"
)

// step is what one attempt of a plain step costs its hooks.
func step(h saga.Hooks, ctx context.Context, e saga.AttemptEvent) {
	ctx = h.Attempting(ctx, e)
	e.Outcome, e.Duration = "done", time.Millisecond
	h.Attempted(ctx, e)
}

func hooked(tb testing.TB, sampled bool) (saga.Hooks, context.Context) {
	tb.Helper()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	tel, err := sagaotel.New(sagaotel.Config{TracerProvider: traces, MeterProvider: meters})
	require.NoError(tb, err)
	parent := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Remote: true}
	if sampled {
		parent.TraceFlags = trace.FlagsSampled
	}
	return tel.Hooks(), trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(parent))
}

var attempt = saga.AttemptEvent{Saga: "buy", ID: "o1", Step: "reserve", Direction: saga.Do, Attempt: 1}

// A step of a saga that is not sampled costs no allocation.
func TestUnsampledStepsAllocateNothing(t *testing.T) {
	h, ctx := hooked(t, false)
	require.Zero(t, testing.AllocsPerRun(1000, func() { step(h, ctx, attempt) }))
}

func BenchmarkStep(b *testing.B) {
	for name, sampled := range map[string]bool{"unsampled": false, "sampled": true} {
		b.Run(name, func(b *testing.B) {
			h, ctx := hooked(b, sampled)
			b.ReportAllocs()
			for b.Loop() {
				step(h, ctx, attempt)
			}
		})
	}
}
