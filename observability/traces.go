package observability

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

func newTracerProvider(cfg Config, res *resource.Resource, root sdktrace.Sampler) *sdktrace.TracerProvider {
	sampler := sdktrace.ParentBased(root)
	if cfg.DisableTracing {
		sampler = sdktrace.NeverSample()
	}
	opts := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler)}
	for _, p := range cfg.SpanProcessors {
		opts = append(opts, sdktrace.WithSpanProcessor(p))
	}
	for _, e := range cfg.SpanExporters {
		opts = append(opts, sdktrace.WithBatcher(e))
	}
	return sdktrace.NewTracerProvider(opts...)
}

// ratioSampler decides for new traces; the share can change while it runs.
type ratioSampler struct{ sampler adjustable[sdktrace.Sampler] }

func newRatioSampler(ratio float64) *ratioSampler {
	s := &ratioSampler{}
	s.sampler.set(sdktrace.TraceIDRatioBased(ratio), 0)
	return s
}

// ShouldSample implements sdktrace.Sampler.
func (s *ratioSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return s.sampler.get().ShouldSample(p)
}

// Description implements sdktrace.Sampler.
func (s *ratioSampler) Description() string {
	return fmt.Sprintf("adjustable(%s)", s.sampler.get().Description())
}

// SetTraceRatio changes the share of new traces that are recorded, 0 to 1: for d, after which the earlier share is back,
// or for good when d is 0.
func (t *Telemetry) SetTraceRatio(ratio float64, d time.Duration) error {
	if err := validRatio(ratio); err != nil {
		return err
	}
	t.sampler.sampler.set(sdktrace.TraceIDRatioBased(ratio), d)
	return nil
}
