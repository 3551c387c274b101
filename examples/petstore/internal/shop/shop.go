// Package shop puts the services together: settings, embedded parts where the environment wants them, and the services that shall
// live in this process.
//
//	s, err := shop.New(ctx, shop.Options{Env: "embedded"})
//	if err != nil { … }
//	err = s.Run(ctx) // until ctx ends; drains the services, then closes the embedded parts
package shop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/marty-framework/mmf/config"
	files "github.com/marty-framework/mmf/examples/petstore/config"
	"github.com/marty-framework/mmf/examples/petstore/internal/embedded"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/service"
)

// Options say which shop to run. The zero value is the whole shop, embedded, with data that is gone afterwards.
type Options struct {
	// Env is the environment: embedded, servers or prod. Default embedded.
	Env string
	// ConfigDir holds settings files and flags.json instead of the built-in ones.
	ConfigDir string
	// DataDir keeps what the embedded parts know. Default: a temporary folder that is removed at the end.
	DataDir string
	// Services live in this process. Default: all of them.
	Services []string
	// FreePorts lets every service choose a free port.
	FreePorts bool
	// Set are settings as key=value pairs; they win over files and environment variables.
	Set []string
	// LogWriter receives log lines. Default os.Stderr.
	LogWriter io.Writer
	// OnReport gets each service's shutdown report, from several goroutines. Optional.
	OnReport func(service.Report)
}

// Shop is the services of one process with all they need.
type Shop struct {
	*platform.Platform
	// Stack is the embedded parts, nil when there are none.
	Stack *embedded.Stack

	watch bool // the settings files can change
}

// New loads the settings, starts the embedded parts and builds the services, with their listeners open and their tables made.
// Nothing is served before Run. Close the shop when Run is never called.
func New(ctx context.Context, opts Options) (_ *Shop, err error) {
	if opts.Env == "" {
		opts.Env = platform.EnvEmbedded
	}
	if len(opts.Services) == 0 {
		opts.Services = Names()
	}
	if opts.FreePorts {
		opts.Set = append([]string{"http.port_base=0"}, opts.Set...)
	}
	s := &Shop{watch: opts.ConfigDir != ""}
	// The settings are checked before anything starts; the embedded parts' addresses are put over them afterwards.
	store, err := load(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if opts.Env == platform.EnvEmbedded {
		if s.Stack, err = embedded.Start(opts.DataDir); err != nil {
			return nil, err
		}
		opts.Set = append(s.Stack.Settings(), opts.Set...)
		if store, err = load(ctx, opts); err != nil {
			return nil, err
		}
	}
	builtIn, err := files.Flags()
	if err != nil {
		return nil, err
	}
	flagsFile := ""
	if opts.ConfigDir != "" {
		flagsFile = filepath.Join(opts.ConfigDir, "flags.json")
	}
	s.Platform, err = platform.New(ctx, store, platform.Options{
		Flags: builtIn, FlagsFile: flagsFile,
		Services: opts.Services, LogWriter: opts.LogWriter, OnReport: opts.OnReport,
	})
	if err != nil {
		return nil, err
	}
	for _, svc := range s.Services() {
		if err := builders()[svc.Name](ctx, svc); err != nil {
			return nil, fmt.Errorf("%s: %w", svc.Name, err)
		}
	}
	return s, nil
}

// load reads the settings from the chosen folder, or from the built-in files by way of a temporary one.
func load(ctx context.Context, opts Options) (*config.Store[platform.Settings], error) {
	if opts.ConfigDir != "" {
		return platform.Load(ctx, opts.ConfigDir, opts.Env, opts.Set...)
	}
	dir, err := os.MkdirTemp("", "petstore-config-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := files.Unpack(dir); err != nil {
		return nil, err
	}
	return platform.Load(ctx, dir, opts.Env, opts.Set...)
}

// Run runs the services until ctx ends or one of them fails, drains them, and closes the embedded parts.
func (s *Shop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan error, 1)
	go func() {
		var err error
		if s.watch {
			err = s.Config.Run(ctx)
		}
		watched <- err
	}()
	err := s.Platform.Run(ctx)
	cancel()
	return errors.Join(err, <-watched, s.closeStack())
}

// WaitReady waits until every service of this process is ready.
func (s *Shop) WaitReady(ctx context.Context) error {
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for !s.Ready() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("the shop did not become ready: %w\n%s", ctx.Err(), s.Health())
		}
	}
	return nil
}

// Close releases everything of a shop that never ran.
func (s *Shop) Close() error {
	var err error
	if s.Platform != nil {
		err = s.Platform.Close()
	}
	return errors.Join(err, s.closeStack())
}

func (s *Shop) closeStack() error {
	if s.Stack == nil {
		return nil
	}
	stack := s.Stack
	s.Stack = nil
	return stack.Close()
}
