package observability

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// scope names the instrumentation that this package itself does.
const scope = "github.com/marty-framework/mmf/observability"

// Telemetry owns the logger, the tracer, the meter and the Prometheus registry of one service. Make it with [New] and
// end it with [Telemetry.Shutdown]. It is safe for concurrent use.
type Telemetry struct {
	service  string
	logger   *zap.Logger
	access   *zap.Logger // without the caller, which would be the same on every access line
	level    *levelControl
	sampler  *ratioSampler
	traces   *sdktrace.TracerProvider
	meters   *sdkmetric.MeterProvider
	registry *prometheus.Registry
	tracer   trace.Tracer
	inst     instruments

	shutdown sync.Once
	ended    error
}

// New makes the telemetry of one service. It starts nothing but the batch queues of cfg.SpanExporters, which Shutdown
// ends. The error joins everything that is wrong with cfg.
func New(cfg Config) (*Telemetry, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &Telemetry{service: cfg.Service, level: newLevelControl(cfg.LogLevel), sampler: newRatioSampler(cfg.TraceRatio)}
	t.logger = newLogger(cfg, t.level)
	t.access = t.logger.WithOptions(zap.WithCaller(false))
	res := resource.NewSchemaless(
		attribute.String("service.name", cfg.Service),
		attribute.String("service.version", cfg.Version),
		attribute.String("deployment.environment.name", cfg.Environment),
	)
	t.traces = newTracerProvider(cfg, res, t.sampler)
	t.tracer = t.traces.Tracer(scope)
	var err error
	if t.registry, t.meters, err = newMeterProvider(cfg, res); err != nil {
		return nil, errors.Join(fmt.Errorf("observability: metrics: %w", err), t.traces.Shutdown(context.Background()))
	}
	if t.inst, err = newInstruments(t.meters.Meter(scope)); err != nil {
		return nil, errors.Join(fmt.Errorf("observability: instruments: %w", err), t.Shutdown(context.Background()))
	}
	if cfg.DisableMasking {
		t.logger.Warn("masking of secrets in log lines is switched off")
	}
	return t, nil
}

// Service is the name that this telemetry was made for.
func (t *Telemetry) Service() string { return t.service }

// TracerProvider gives tracers to libraries that want their own.
func (t *Telemetry) TracerProvider() trace.TracerProvider { return t.traces }

// Tracer starts spans. The name is that of the instrumented package.
func (t *Telemetry) Tracer(name string) trace.Tracer { return t.traces.Tracer(name) }

// MeterProvider gives meters to libraries that want their own.
func (t *Telemetry) MeterProvider() metric.MeterProvider { return t.meters }

// Meter makes instruments. The name is that of the instrumented package. Give duration histograms the unit "s" and
// [DurationBuckets]; never record an id, a path or another value from outside as an attribute.
func (t *Telemetry) Meter(name string) metric.Meter { return t.meters.Meter(name) }

// Registry is the private Prometheus registry behind [Telemetry.MetricsHandler], for collectors that are not OTel's.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// MetricsHandler serves the registry, in OpenMetrics with exemplars when the scraper asks for it. Serve it on an admin
// listener, not to the public.
func (t *Telemetry) MetricsHandler() http.Handler { return metricsHandler(t.registry) }

// Flush sends what is queued: spans first, since they are what an exporter queues, then pushed metrics, then log lines.
// It keeps to ctx.
func (t *Telemetry) Flush(ctx context.Context) error {
	err := errors.Join(t.traces.ForceFlush(ctx), t.meters.ForceFlush(ctx))
	syncLog(t.logger)
	if err != nil {
		return fmt.Errorf("observability: flush: %w", err)
	}
	return nil
}

// Shutdown flushes and ends traces first, then metrics, then syncs the log. Logging still works afterwards; spans and
// measurements are dropped. Further calls return the first one's result.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.shutdown.Do(func() {
		if err := errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx)); err != nil {
			t.ended = fmt.Errorf("observability: shutdown: %w", err)
		}
		syncLog(t.logger)
	})
	return t.ended
}
