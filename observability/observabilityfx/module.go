// Package observabilityfx wires observability into an fx application: it provides *observability.Telemetry and
// *observability.Health from an observability.Config, beside the telemetry's trace.TracerProvider, metric.MeterProvider and
// *slog.Logger, and ends them after everything that was built on them.
//
//	fx.New(
//		observabilityfx.Module,
//		fx.Supply(observability.Config{Service: "catalog"}),
//		fx.Provide(observabilityfx.AsCheck(newDatabaseCheck)), // func(data.DB) observability.Check
//		…
//	)
//
// Everything it provides can be made by hand with observability.New and observability.NewHealth. It sends fx's own events
// nowhere; see fx.WithLogger for that.
package observabilityfx

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/marty-framework/mmf/observability"
)

// Module provides *observability.Telemetry and *observability.Health. It needs an observability.Config. Both live as long
// as the application: Health runs from start to stop, Telemetry is flushed and shut down last. When that fails, fx's stop
// error says so.
var Module = fx.Module("observability",
	fx.Provide(New),
	fx.Invoke(run),
)

// AsCheck tags a constructor of an observability.Check so that its check joins the application's Health.
func AsCheck(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"observability.checks"`))
}

// Params is what [New] takes from the application.
type Params struct {
	fx.In

	Config observability.Config
	Checks []observability.Check `group:"observability.checks"`
}

// Result is what [New] gives to the application.
type Result struct {
	fx.Out

	Telemetry *observability.Telemetry
	Health    *observability.Health

	// Of the same Telemetry, for modules that do not know it.
	Traces trace.TracerProvider
	Meters metric.MeterProvider
	Logger *slog.Logger
}

// New makes both and ties the telemetry's end to the application's. Checks are sorted by name, since fx gives groups in
// random order.
func New(p Params, lc fx.Lifecycle) (Result, error) {
	slices.SortFunc(p.Checks, func(a, b observability.Check) int { return cmp.Compare(a.Name, b.Name) })
	health, err := observability.NewHealth(p.Checks...)
	if err != nil {
		return Result{}, err
	}
	tel, err := observability.New(p.Config)
	if err != nil {
		return Result{}, err
	}
	lc.Append(fx.StopHook(tel.Shutdown))
	return Result{
		Telemetry: tel, Health: health, Traces: tel.TracerProvider(), Meters: tel.MeterProvider(), Logger: tel.Slog(),
	}, nil
}

// run adapts Health.Run to the lifecycle.
func run(lc fx.Lifecycle, h *observability.Health) {
	var cancel context.CancelFunc
	done := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error { // its context ends with start-up, so the run gets one of its own
			var ctx context.Context
			ctx, cancel = context.WithCancel(context.Background())
			go func() {
				defer close(done)
				_ = h.Run(ctx) // always nil
			}()
			return nil
		},
		OnStop: func(ctx context.Context) error {
			cancel()
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
}
