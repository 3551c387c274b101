package observabilityfx_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/observability/observabilityfx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestModuleIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(observabilityfx.Module, fx.Supply(observability.Config{Service: "x"})))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	exporter := &closing{InMemoryExporter: tracetest.NewInMemoryExporter()}
	asked := make(chan struct{}, 100)
	check := func() observability.Check {
		return observability.Check{Name: "db", Interval: time.Hour, Probe: func(context.Context) error {
			asked <- struct{}{}
			return nil
		}}
	}
	var tel *observability.Telemetry
	var health *observability.Health
	app := fxtest.New(t, observabilityfx.Module, fx.Populate(&tel, &health),
		fx.Supply(observability.Config{Service: "shop", LogWriter: &log, SpanExporters: []sdktrace.SpanExporter{exporter}}),
		fx.Provide(observabilityfx.AsCheck(check)))
	app.RequireStart()
	<-asked
	require.Eventually(t, health.Ready, 5*time.Second, time.Millisecond)
	require.NoError(t, observability.Do(t.Context(), tel, "work", func(ctx context.Context) error {
		tel.Log(ctx).Info("working")
		return nil
	}))
	app.RequireStop()
	assert.Equal(t, []string{"work"}, exporter.exported, "spans are flushed before the exporter ends")
	assert.Contains(t, log.String(), `"working"`)
}

// closing notes what was exported before it was shut down.
type closing struct {
	*tracetest.InMemoryExporter
	exported []string
}

func (c *closing) Shutdown(ctx context.Context) error {
	for _, s := range c.GetSpans() {
		c.exported = append(c.exported, s.Name)
	}
	return c.InMemoryExporter.Shutdown(ctx)
}
