// Package configfx provides live settings and flags to an fx application and follows their files while it runs.
//
//	fx.New(
//		configfx.Module(defaults, config.Options{Files: …}), // *config.Store[Settings]
//		configfx.Flags,                                      // *flags.Set
//		fx.Supply(flags.Options{Files: …}),
//		fx.Provide(func(s *config.Store[Settings]) HTTPConfig { return s.Get().HTTP }),
//	)
//
// Sources that are not valid fail the start of the application. The files are followed from OnStart to OnStop; what a
// reload says goes to the Hooks of the options.
package configfx

import (
	"context"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/config"
	"github.com/marty-framework/mmf/config/flags"
)

// Module provides a *config.Store[T]. It is a function because it depends on T.
func Module[T any](defaults T, options config.Options) fx.Option {
	return fx.Module("config", fx.Provide(func(lc fx.Lifecycle) (*config.Store[T], error) {
		store, err := config.Load(context.Background(), defaults, options)
		if err != nil {
			return nil, err
		}
		lc.Append(following(store.Run))
		return store, nil
	}))
}

// Flags provides a *flags.Set of the [flags.Options] that the application supplies.
var Flags = fx.Module("flags", fx.Provide(func(lc fx.Lifecycle, options flags.Options) (*flags.Set, error) {
	set, err := flags.Load(context.Background(), options)
	if err != nil {
		return nil, err
	}
	lc.Append(following(set.Run))
	return set, nil
}))

// following runs a component from OnStart to OnStop. Its context is its own, since that of OnStart ends with the start.
func following(run func(context.Context) error) fx.Hook {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	return fx.Hook{
		OnStart: func(context.Context) error {
			go func() { done <- run(ctx) }()
			return nil
		},
		OnStop: func(stop context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-stop.Done():
				return stop.Err()
			}
		},
	}
}
