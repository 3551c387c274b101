// Package datafx wires databases and their background work into an fx application.
//
//	fx.New(
//		datafx.Module,
//		fx.Provide(
//			datafx.AsSource(func(cfg Config) datafx.Source {
//				return datafx.Source{Name: "orders", Open: func(ctx context.Context) (data.DB, error) {
//					return datapg.Open(ctx, datapg.Config{DSN: cfg.DSN})
//				}}
//			}),
//			datafx.AsRunner(func(relay *outbox.Relay) datafx.Runner {
//				return datafx.Runner{Name: "outbox", Run: relay.Run}
//			}),
//		),
//	)
//
// The application chooses the drivers; this package links none. Sources are opened while the application is built, since
// others are built on them, and closed after everything that was built on them has stopped. A runner starts with the
// application, and stopping waits until it has returned.
package datafx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/data"
)

// Module provides *data.Sources from the application's sources, and runs its runners.
var Module = fx.Module("data",
	fx.Provide(NewSources),
	fx.Invoke(func(*data.Sources) {}), // a source that cannot be opened fails the application even if nobody asks for it
	fx.Invoke(run),
)

const (
	sourceGroup = `group:"mmf.data.sources"`
	runnerGroup = `group:"mmf.data.runners"`
)

// OpenTimeout bounds the opening of one source.
const OpenTimeout = 30 * time.Second

// Source is a database that the application wants under a name.
type Source struct {
	// Name is what [data.Sources.DB] is asked for. Required, unique.
	Name string
	// Open opens it, and migrates it where that is wanted; ctx ends after [OpenTimeout].
	Open func(ctx context.Context) (data.DB, error)
}

// Runner is background work of a database: an outbox's relay, an inbox's purge.
type Runner struct {
	// Name is for errors.
	Name string
	// Run works until its context ends. When it returns earlier, the application shuts down.
	Run func(ctx context.Context) error
}

// AsSource tags a constructor of a [Source] so that the source joins the application's.
func AsSource(constructor any) any { return fx.Annotate(constructor, fx.ResultTags(sourceGroup)) }

// AsRunner tags a constructor of a [Runner] so that the application runs it.
func AsRunner(constructor any) any { return fx.Annotate(constructor, fx.ResultTags(runnerGroup)) }

// Params is what [NewSources] takes from the application.
type Params struct {
	fx.In

	Sources []Source `group:"mmf.data.sources"`
}

// NewSources opens the sources, in the order of their names, and ties their end to the application's. When one fails, those
// before it are closed again.
func NewSources(p Params, lc fx.Lifecycle) (_ *data.Sources, err error) {
	slices.SortFunc(p.Sources, func(a, b Source) int { return cmp.Compare(a.Name, b.Name) }) // groups come in random order
	dbs := map[string]data.DB{}
	defer func() {
		if err != nil {
			for _, db := range dbs {
				err = errors.Join(err, db.Close())
			}
		}
	}()
	for _, s := range p.Sources {
		if _, taken := dbs[s.Name]; taken {
			return nil, fmt.Errorf("datafx: two sources are named %q", s.Name)
		}
		if s.Open == nil {
			return nil, fmt.Errorf("datafx: source %q has no Open", s.Name)
		}
		ctx, cancel := context.WithTimeout(context.Background(), OpenTimeout)
		db, err := s.Open(ctx)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("datafx: source %q: %w", s.Name, err)
		}
		dbs[s.Name] = db
	}
	sources, err := data.NewSources(dbs)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.StopHook(sources.Close))
	return sources, nil
}

type runParams struct {
	fx.In

	Runners    []Runner `group:"mmf.data.runners"`
	Sources    *data.Sources
	Lifecycle  fx.Lifecycle
	Shutdowner fx.Shutdowner
}

// run adapts each runner to the lifecycle. It asks for the sources so that they are closed after the runners' end.
func run(p runParams) error {
	slices.SortFunc(p.Runners, func(a, b Runner) int { return cmp.Compare(a.Name, b.Name) })
	for _, r := range p.Runners {
		if r.Run == nil {
			return fmt.Errorf("datafx: runner %q has no Run", r.Name)
		}
		var cancel context.CancelFunc
		done := make(chan error, 1)
		p.Lifecycle.Append(fx.Hook{
			OnStart: func(context.Context) error { // its context ends with start-up, so the run gets one of its own
				var ctx context.Context
				ctx, cancel = context.WithCancel(context.Background())
				go func() {
					err := r.Run(ctx)
					if ctx.Err() == nil {
						err = errors.Join(fmt.Errorf("datafx: runner %q ended by itself", r.Name), err)
						_ = p.Shutdowner.Shutdown(fx.ExitCode(1)) // fails only when the application is stopping anyway
					}
					done <- err
				}()
				return nil
			},
			OnStop: func(ctx context.Context) error {
				cancel()
				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return fmt.Errorf("datafx: runner %q has not stopped in time: %w", r.Name, ctx.Err())
				}
			},
		})
	}
	return nil
}
