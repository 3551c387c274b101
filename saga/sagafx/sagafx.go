// Package sagafx runs a saga engine under fx: it begins with the application and stops with it, running attempts getting
// [saga.Config.Grace].
//
//	fx.New(
//		fx.Provide(openStore), // returns a saga.Store: sagapg or sagasqlite
//		sagafx.Definition[Order](placeOrder),
//		fx.Supply(saga.Config{}),
//		sagafx.Module,
//	)
//
// The application provides the store and supplies the configuration; the module provides the [*saga.Engine] and invokes it. The
// engine is never mute: its hooks write log lines, spans and metrics beside those of the configuration, to the *slog.Logger,
// trace.TracerProvider and metric.MeterProvider that the application provides (observabilityfx does), or to the process's global ones.
package sagafx

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagaotel"
)

// Module provides a [*saga.Engine] of all definitions in the group, and runs it.
var Module = fx.Module("saga", fx.Provide(New), fx.Invoke(Run))

// Params are what an engine is made of.
type Params struct {
	fx.In

	Config      saga.Config `optional:"true"`
	Store       saga.Store
	Definitions []saga.Definition `group:"saga.definitions"`

	// Where telemetry goes. Default: the global providers of OpenTelemetry and slog's default logger.
	Traces trace.TracerProvider `optional:"true"`
	Meters metric.MeterProvider `optional:"true"`
	Logger *slog.Logger         `optional:"true"`
}

// Definition provides a definition over the state S by its constructor, so that it can be started, and registers it with
// the engine.
func Definition[S any](constructor any) fx.Option {
	register := func(d *saga.Def[S]) saga.Definition { return d }
	return fx.Provide(constructor, fx.Annotate(register, fx.ResultTags(`group:"saga.definitions"`)))
}

// New makes the engine, with its telemetry, and shows in the metrics what is in flight while the application runs.
func New(p Params, lc fx.Lifecycle) (*saga.Engine, error) {
	tel, err := sagaotel.New(sagaotel.Config{TracerProvider: p.Traces, MeterProvider: p.Meters})
	if err != nil {
		return nil, err
	}
	p.Config.Hooks = saga.JoinHooks(saga.LogHooks(p.Logger), p.Config.Hooks)
	engine, err := saga.New(tel.Instrument(p.Config), p.Store, p.Definitions...)
	if err != nil {
		return nil, err
	}
	var stop func() error
	lc.Append(fx.Hook{
		OnStart: func(context.Context) (err error) {
			stop, err = tel.Observe(engine)
			return err
		},
		OnStop: func(context.Context) error { return stop() },
	})
	return engine, nil
}

// Run ties the engine to the application: it works from start to stop. An engine that ends by itself takes the application
// down.
func Run(lc fx.Lifecycle, down fx.Shutdowner, engine *saga.Engine) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				err := engine.Run(ctx)
				done <- err
				if err != nil {
					_ = down.Shutdown(fx.ExitCode(1)) // fails only when the application is stopping already
				}
			}()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-stop.Done():
				return errors.Join(errors.New("sagafx: the engine did not stop in time"), stop.Err())
			}
		},
	})
}
