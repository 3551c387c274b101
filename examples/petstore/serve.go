package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/examples/petstore/internal/shop"
	"github.com/marty-framework/mmf/service"
)

// startTimeout bounds the time to readiness, stopTimeout that of the drain; the services' own budgets are well within it.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
)

// serve runs the shop until ctx ends. It is wired with fx; package shop does the same by hand for tests and demos.
func serve(ctx context.Context, args []string, out, errs io.Writer) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	options := shopFlags(fs)
	child := fs.Bool("stop-with-stdin", false, "stop when standard input ends, for a parent that must not leave a shop behind however it ends")
	if err := parse(fs, args, errs); err != nil {
		return err
	}
	opts, err := options()
	if err != nil {
		return err
	}
	if *child {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		go func() { // until the process ends
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	reports := &reports{}
	opts.LogWriter, opts.OnReport = errs, reports.add
	began := time.Now()
	var s *shop.Shop
	app := fx.New(wiring(ctx, opts), fx.Populate(&s))
	if err := app.Err(); err != nil {
		return rootCause(err)
	}
	// fx gives up waiting for a hook when this context ends and leaves the hook behind; so a signal reaches the hook instead.
	startCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	if err := app.Start(startCtx); err != nil {
		return err
	}
	welcome(ctx, out, s, opts, time.Since(began))
	code := 0
	select {
	case <-ctx.Done():
	case signal := <-app.Wait(): // a service failed
		code = signal.ExitCode
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	fmt.Fprintln(out, "\nstopping …")
	begun := time.Now()
	err = app.Stop(stopCtx)
	reports.print(out)
	fmt.Fprintf(out, "stopped in %v\n", time.Since(begun).Round(time.Millisecond))
	if err == nil && code != 0 {
		err = errors.New("a service failed; the log says which")
	}
	return err
}

// wiring is the whole fx graph: options make a shop, whose run is the application's.
func wiring(ctx context.Context, opts shop.Options) fx.Option {
	return fx.Options(
		fx.NopLogger, fx.StartTimeout(startTimeout), fx.StopTimeout(stopTimeout),
		fx.Supply(opts),
		fx.Provide(func(opts shop.Options) (*shop.Shop, error) { return shop.New(ctx, opts) }),
		fx.Invoke(func(lc fx.Lifecycle, down fx.Shutdowner, s *shop.Shop) { attach(ctx, lc, down, s) }),
	)
}

// attach ties the shop's run to fx's lifecycle: started when every service is ready, stopped when all have drained. When ctx ends
// before that, the start ends with it.
func attach(ctx context.Context, lc fx.Lifecycle, down fx.Shutdowner, s *shop.Shop) {
	run, cancel := context.WithCancel(context.Background()) // OnStart's context ends with start-up
	done := make(chan error, 1)
	lc.Append(fx.Hook{
		OnStart: func(context.Context) error {
			go func() {
				done <- s.Run(run)
				if run.Err() == nil {
					_ = down.Shutdown(fx.ExitCode(1)) // it fails only when the application stops already
				}
			}()
			waiting, stop := context.WithTimeout(ctx, startTimeout-10*time.Second) // well before fx gives up
			defer stop()
			err := s.WaitReady(waiting)
			if err != nil {
				cancel()
				err = errors.Join(err, <-done)
			}
			return err
		},
		OnStop: func(ctx context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return fmt.Errorf("the services did not stop in time: %w", ctx.Err())
			}
		},
	})
}

// rootCause leaves out how fx came to call the constructor that failed.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil || !strings.Contains(fmt.Sprintf("%T", err), "dig.") {
			return err
		}
		err = next
	}
}

// welcome says what runs where and what to do next. With free ports the first line is JSON, for programs.
func welcome(ctx context.Context, out io.Writer, s *shop.Shop, opts shop.Options, took time.Duration) {
	urls := map[string]string{}
	for _, svc := range s.Services() {
		urls[svc.Name] = "http://" + svc.Shell.Addr()
	}
	dir := ""
	if s.Stack != nil {
		dir = s.Stack.Dir
	}
	if opts.FreePorts {
		line, _ := json.Marshal(map[string]any{ // strings and numbers only: it cannot fail
			"ready": true, "pid": os.Getpid(), "urls": urls, "data": dir, "took_ms": took.Milliseconds(),
			"kafka": map[string]any{"brokers": s.Config.Get().Kafka.Brokers, "prefix": s.Config.Get().Kafka.Prefix},
		})
		fmt.Fprintf(out, "%s\n", line)
	}
	fmt.Fprintf(out, "\nThe petstore is open (%s, ready after %v).\n\n", s.Config.Get().Env, took.Round(time.Millisecond))
	for _, svc := range s.Services() {
		fmt.Fprintf(out, "  %-9s %-28s admin %s\n", svc.Name, urls[svc.Name], "http://"+svc.Shell.AdminAddr())
	}
	switch {
	case dir != "" && opts.DataDir == "":
		fmt.Fprintf(out, "\nData: %s, removed at the end; --data DIR keeps it.\n", dir)
	case dir != "":
		fmt.Fprintf(out, "\nData: %s\n", dir)
	}
	hints(ctx, out, urls)
	fmt.Fprintln(out, "\nCtrl-C stops the shop.")
}

// reports collects the shutdown reports of the services.
type reports struct {
	mu  sync.Mutex
	all []service.Report
}

func (r *reports) add(report service.Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, report)
}

func (r *reports) print(out io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, report := range r.all {
		verdict := "clean"
		if err := report.Err(); err != nil {
			verdict = err.Error()
		}
		fmt.Fprintf(out, "  %-9s drained in %-8v %s\n", report.Service, report.Took.Round(time.Millisecond), verdict)
	}
}
