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
// The application provides the store and supplies the configuration; the module provides the [*saga.Engine] and invokes it.
package sagafx

import (
	"context"
	"errors"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/saga"
)

// Module provides a [*saga.Engine] of all definitions in the group, and runs it.
var Module = fx.Module("saga", fx.Provide(New), fx.Invoke(Run))

// Params are what an engine is made of.
type Params struct {
	fx.In

	Config      saga.Config `optional:"true"`
	Store       saga.Store
	Definitions []saga.Definition `group:"saga.definitions"`
}

// Definition provides a definition over the state S by its constructor, so that it can be started, and registers it with
// the engine.
func Definition[S any](constructor any) fx.Option {
	register := func(d *saga.Def[S]) saga.Definition { return d }
	return fx.Provide(constructor, fx.Annotate(register, fx.ResultTags(`group:"saga.definitions"`)))
}

// New makes the engine.
func New(p Params) (*saga.Engine, error) { return saga.New(p.Config, p.Store, p.Definitions...) }

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
