package sagaotel

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/saga"
)

const scope = "github.com/marty-framework/mmf/saga/sagaotel"

// Config says where telemetry goes. The zero value uses OpenTelemetry's global providers.
type Config struct {
	// TracerProvider makes spans. Default: the global one.
	TracerProvider trace.TracerProvider
	// MeterProvider makes instruments. Default: the global one.
	MeterProvider metric.MeterProvider
	// CensusEvery is how often, at most, a collection of metrics makes the engine count what is in flight; others show the
	// last count. Counting also never takes more than a fiftieth of the time. Default 10 s.
	CensusEvery time.Duration
}

// Telemetry makes hooks for engines. It is safe for concurrent use, and for several engines.
type Telemetry struct {
	cfg    Config
	tracer trace.Tracer
	meter  metric.Meter
	inst   instruments
	labels labels
}

// New makes the instruments. The error joins those that could not be made.
func New(cfg Config) (*Telemetry, error) {
	if cfg.TracerProvider == nil {
		cfg.TracerProvider = otel.GetTracerProvider()
	}
	if cfg.MeterProvider == nil {
		cfg.MeterProvider = otel.GetMeterProvider()
	}
	if cfg.CensusEvery < 0 {
		return nil, errors.New("sagaotel: CensusEvery is negative")
	}
	if cfg.CensusEvery == 0 {
		cfg.CensusEvery = 10 * time.Second
	}
	t := &Telemetry{cfg: cfg, tracer: cfg.TracerProvider.Tracer(scope), meter: cfg.MeterProvider.Meter(scope)}
	var err error
	if t.inst, err = newInstruments(t.meter); err != nil {
		return nil, fmt.Errorf("sagaotel: %w", err)
	}
	return t, nil
}

// Instrument returns cfg with this telemetry added to its hooks, and with W3C trace headers as its Inject and Extract where it
// has none.
func (t *Telemetry) Instrument(cfg saga.Config) saga.Config {
	if cfg.Inject == nil {
		cfg.Inject = inject
	}
	if cfg.Extract == nil {
		cfg.Extract = extract
	}
	cfg.Hooks = saga.JoinHooks(cfg.Hooks, t.Hooks())
	return cfg
}

// Hooks are the hooks alone; the engine then needs an Inject and an Extract that carry traceparent.
func (t *Telemetry) Hooks() saga.Hooks {
	return saga.Hooks{
		Starting: t.starting, Started: t.started, Attempting: t.attempting, Attempted: t.attempted, Hung: t.hung, Waited: t.waited,
		Unknown: t.unknown, TurnedBack: t.turnedBack, Finished: t.finished, Parked: t.parked, Refused: t.refused, Violated: t.violated,
		Flushed: t.flushed, Recovered: t.recovered, Fenced: t.fenced, Failed: t.failed,
	}
}
