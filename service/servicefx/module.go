// Package servicefx wires the service shell into an fx application: it provides *service.Service from a service.Config,
// gives it the application's routes and components, and ties its run to the application's.
//
//	fx.New(
//		servicefx.StopTimeout(30*time.Second),
//		servicefx.Module, observabilityfx.Module,
//		fx.Supply(service.Config{Name: "order"}, observability.Config{Service: "order"}),
//		fx.Provide(servicefx.AsRoutes(newRoutes)),       // func(…) []service.Route
//		fx.Provide(servicefx.AsComponent(newRelay)),     // func(…) service.Component
//	).Run()
//
// fx has one stop budget for all hooks and skips the rest once it is spent; a drain that does not fit would lose the
// flush of the traces. The application owns that budget and a module cannot read it. So the application states it with
// [StopTimeout], which sets it too, and the application does not start when the drain does not fit.
package servicefx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Module provides *service.Service and runs it from start to stop. It needs a service.Config; telemetry, health,
// authenticator, authorizer and limiter are used when the application has them. When the service ends by itself, the
// application is shut down with exit code 1.
var Module = fx.Module("service",
	fx.Provide(New),
	fx.Invoke(run),
)

type stopTimeout time.Duration

// StopTimeout is fx.StopTimeout that the module can see. Use it at the top level of the application in place of
// fx.StopTimeout; without it fx's default of 15 s is assumed.
func StopTimeout(d time.Duration) fx.Option {
	return fx.Options(fx.StopTimeout(d), fx.Supply(stopTimeout(d)))
}

// AsRoutes tags a constructor of a []service.Route so that its routes join the service's.
func AsRoutes(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"service.routes,flatten"`))
}

// AsComponent tags a constructor of a service.Component so that it joins the service's.
func AsComponent(constructor any) any {
	return fx.Annotate(constructor, fx.ResultTags(`group:"service.components"`))
}

// Params is what [New] takes from the application.
type Params struct {
	fx.In

	Config        service.Config
	Telemetry     *observability.Telemetry `optional:"true"`
	Health        *observability.Health    `optional:"true"`
	Authenticator security.Authenticator   `optional:"true"`
	Authorizer    security.Authorizer      `optional:"true"`
	Limiter       security.Limiter         `optional:"true"`
	Hooks         service.Hooks            `optional:"true"`
	Routes        []service.Route          `group:"service.routes"`
	Components    []service.Component      `group:"service.components"`
}

// New makes the service with its routes and components, sorted by pattern and by name, since fx gives groups in random
// order. The error joins everything that was refused.
func New(p Params) (*service.Service, error) {
	svc, err := service.New(p.Config, service.Deps{
		Telemetry: p.Telemetry, Health: p.Health, Authenticator: p.Authenticator, Authorizer: p.Authorizer, Limiter: p.Limiter, Hooks: p.Hooks,
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(p.Routes, func(a, b service.Route) int { return cmp.Compare(a.Pattern, b.Pattern) })
	slices.SortFunc(p.Components, func(a, b service.Component) int { return cmp.Compare(a.Name, b.Name) })
	if err := errors.Join(svc.Handle(p.Routes...), svc.Add(p.Components...)); err != nil {
		return nil, err
	}
	return svc, nil
}

type runParams struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Shutdowner fx.Shutdowner
	Service    *service.Service
	Stop       stopTimeout `optional:"true"`
}

// run adapts Service.Run to the lifecycle.
func run(p runParams) error {
	if p.Stop == 0 {
		p.Stop = stopTimeout(fx.DefaultTimeout)
	}
	if stop, total := time.Duration(p.Stop), p.Service.DrainBudget().Total(); stop < total {
		return fmt.Errorf("servicefx: the application stops after %v and the drain may take %v, so the end of it, with the flush of the "+
			"traces, would be lost: add servicefx.StopTimeout(%v) to fx.New, or make service.Config.Drain shorter", stop, total, total)
	}
	var cancel context.CancelFunc
	done := make(chan error, 1)
	p.Lifecycle.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			if err := p.Service.Listen(ctx); err != nil {
				return err
			}
			var runCtx context.Context // OnStart's context ends with start-up
			runCtx, cancel = context.WithCancel(context.Background())
			go func() {
				err := p.Service.Run(runCtx)
				done <- err
				if runCtx.Err() == nil {
					// It fails only when the application is being shut down already.
					_ = p.Shutdowner.Shutdown(fx.ExitCode(1))
				}
			}()
			return nil
		},
		OnStop: func(ctx context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return fmt.Errorf("servicefx: the drain did not end within fx's stop timeout, what is left of it is lost: %w", ctx.Err())
			}
		},
	})
	return nil
}
