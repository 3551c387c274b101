package gateway

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/migrate"
)

// The payment methods that the gateway knows, like the test cards of real providers.
const (
	Visa              = "pm_visa"                // is captured
	Declining         = "pm_declined"            // is declined
	ChargeThenTimeout = "pm_charge_then_timeout" // is captured, but the first attempt of a key never gets an answer
	Unreachable       = "pm_unreachable"         // the acquirer is down: 503, and nothing happens
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config of a Gateway.
type Config struct {
	// Addr is the listen address. Default "127.0.0.1:0": a free port on loopback.
	Addr string
	// APIKey is what clients send as "Authorization: Bearer …". Required, at least 16 characters.
	APIKey string
	// Decline makes new charges of a customer be declined, whatever the card. Optional.
	Decline func(ctx context.Context, customer string) bool
	// HangFor bounds how long an attempt that never gets an answer keeps its connection. Default 1 min.
	HangFor time.Duration
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.HangFor == 0 {
		c.HangFor = time.Minute
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.APIKey) < 16 {
		errs = append(errs, errors.New("APIKey must have at least 16 characters"))
	}
	if c.HangFor < 0 {
		errs = append(errs, fmt.Errorf("HangFor is %s: it must not be negative", c.HangFor))
	}
	if len(errs) > 0 {
		return fmt.Errorf("gateway: invalid Config: %w", errors.Join(errs...))
	}
	return nil
}

// Gateway is the simulated provider; make one with [New]. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	book     book
	listener net.Listener
}

// New makes a gateway that keeps its charges in db, which belongs to the caller. It starts nothing.
func New(cfg Config, db data.DB) (*Gateway, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Gateway{cfg: cfg, book: book{db}}, nil
}

// Migrate makes the gateway's tables.
func (g *Gateway) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return migrate.Up(ctx, g.book.db, files, migrate.Config{Name: "gateway"})
}

// Listen opens the port, so that [Gateway.URL] is known before Run. Close it by running, or with [Gateway.Close].
func (g *Gateway) Listen(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", g.cfg.Addr)
	if err != nil {
		return fmt.Errorf("gateway: listen on %s: %w", g.cfg.Addr, err)
	}
	g.listener = l
	return nil
}

// Close closes the listener of a gateway that was never run.
func (g *Gateway) Close() error {
	if g.listener == nil {
		return nil
	}
	if err := g.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// URL is the gateway's base address; empty before [Gateway.Listen].
func (g *Gateway) URL() string {
	if g.listener == nil {
		return ""
	}
	return "http://" + g.listener.Addr().String()
}

// Run serves until ctx ends, then lets requests in flight finish for at most two seconds. Call Listen first.
func (g *Gateway) Run(ctx context.Context) error {
	if g.listener == nil {
		return errors.New("gateway: Run before Listen")
	}
	srv := &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		// Requests that hang on purpose end with ctx, so that they do not hold up the end.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(g.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("gateway: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("gateway: %w", err), srv.Close())
	}
	_ = <-ended //nolint:staticcheck // it is ErrServerClosed; what counts is that the goroutine has ended
	return err
}
