package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/marty-framework/mmf/config"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/service"
)

// Options are what the process adds to the settings.
type Options struct {
	// Services are the names of the services that live in this process. Required.
	Services []string
	// Flags are the built-in feature flags; FlagsFile, when it is named, goes over them and is followed.
	Flags     []byte
	FlagsFile string
	// LogWriter receives log lines. Default os.Stderr.
	LogWriter io.Writer
	// OnReport gets each service's shutdown report. Optional.
	OnReport func(service.Report)
	// Version is the version that logs and traces name. Default "dev".
	Version string
}

// Platform is one process of the shop: its settings and its services.
type Platform struct {
	// Config holds the live settings.
	Config *config.Store[Settings]

	opts     Options
	services []*Service
	runtime  sync.Once // the first telemetry also reports on the Go runtime
}

// New makes the platform and a [Service] for each name, with both listeners open, so that an occupied port is found before anything
// starts and every service knows where the others are. Close releases them when Run is never called.
func New(ctx context.Context, store *config.Store[Settings], opts Options) (*Platform, error) {
	p := &Platform{Config: store, opts: opts}
	if len(opts.Services) == 0 {
		return nil, fmt.Errorf("platform: no services chosen; choose from %v", Services())
	}
	for i, name := range opts.Services {
		if !slices.Contains(Services(), name) {
			return nil, fmt.Errorf("platform: there is no service %q; services are %v", name, Services())
		}
		if slices.Contains(opts.Services[:i], name) {
			return nil, fmt.Errorf("platform: service %q is named twice", name)
		}
	}
	for _, name := range opts.Services {
		s, err := p.newService(ctx, name)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.services = append(p.services, s)
	}
	for _, s := range p.services {
		if err := s.connect(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("platform: %s: %w", s.Name, err), p.Close())
		}
	}
	return p, nil
}

// Services are the services of this process, in the order in which they were named.
func (p *Platform) Services() []*Service { return slices.Clone(p.services) }

// Service returns one of them.
func (p *Platform) Service(name string) (*Service, bool) {
	for _, s := range p.services {
		if s.Name == name {
			return s, true
		}
	}
	return nil, false
}

// URL is where a service is reached: the real address of one in this process, else the settings' http.urls or port.
func (p *Platform) URL(name string) (string, error) {
	if s, ok := p.Service(name); ok {
		return "http://" + s.Shell.Addr(), nil
	}
	return p.Config.Get().HTTP.URL(name)
}

// Run runs every service until ctx ends or one of them fails, then drains them side by side. It returns what went wrong.
func (p *Platform) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(p.services))
	var wg sync.WaitGroup
	for i, s := range p.services {
		wg.Go(func() {
			defer cancel() // one service that ends takes the others with it: half a shop helps nobody
			errs[i] = s.Shell.Run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Ready reports whether every service of this process says so.
func (p *Platform) Ready() bool {
	for _, s := range p.services {
		if !s.Shell.Health().Ready() {
			return false
		}
	}
	return true
}

// Close releases everything when Run is never called.
func (p *Platform) Close() error {
	var errs []error
	for _, s := range slices.Backward(p.services) {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// Health tells in a line per service what keeps it from being ready.
func (p *Platform) Health() string {
	var b strings.Builder
	for _, s := range p.services {
		status, checks := s.Shell.Health().Status()
		fmt.Fprintf(&b, "%-9s %s", s.Name, status)
		for _, c := range checks {
			if c.Status != observability.CheckUp {
				fmt.Fprintf(&b, "  %s %s", c.Name, c.Status)
				if c.Err != nil {
					fmt.Fprintf(&b, ": %s", observability.MaskText(c.Err.Error()))
				}
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
