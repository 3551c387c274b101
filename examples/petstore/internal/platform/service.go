package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/inbox"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/resilience/resiliencehttp"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// Service is one service of the shop, ready for its routes and workers.
type Service struct {
	// Name is one of [Services].
	Name string
	// Settings are those of the start; see Config of [Platform] for the live ones.
	Settings Settings
	// Platform is the process that the service lives in.
	Platform *Platform
	// Shell takes routes and components, and runs them.
	Shell *service.Service
	// Telemetry is the service's own.
	Telemetry *observability.Telemetry
	// DB is the service's own database, with the outbox's tables. Nil for edge and issuer, which keep nothing.
	DB data.DB
	// Outbox writes events in transactions of DB; its relay runs with the service. Nil when DB is.
	Outbox *outbox.Outbox
	// Inbox remembers events that were handled, in DB. Nil when DB is.
	Inbox *inbox.Inbox
	// Kafka publishes; the outbox does so for you.
	Kafka *kafka.Client
	// Redis is shared by all services: counters and caches, never the truth. Nil for the issuer.
	Redis redis.UniversalClient
	// Flags are the feature flags as this service sees them. Nil for the issuer.
	Flags *Flags
	// Policies guard calls to others; see HTTPClient.
	Policies *resilience.Set
	// Tokens gives this service's own access tokens. Nil for the issuer.
	Tokens security.TokenSource

	authenticator security.Authenticator
	closers       []func() error
}

// stateless services have neither a database nor Kafka.
func stateless(name string) bool { return name == "edge" || name == "issuer" }

// newService makes the shell and opens its listeners.
func (p *Platform) newService(ctx context.Context, name string) (*Service, error) {
	settings := p.Config.Get()
	s := &Service{Name: name, Settings: settings, Platform: p}
	first := false
	p.runtime.Do(func() { first = true })
	tel, err := observability.New(observability.Config{
		Service: name, Version: p.opts.Version, Environment: settings.Env,
		LogLevel: settings.Obs.LogLevel, LogWriter: p.opts.LogWriter, TraceRatio: settings.Obs.TraceRatio,
		DisableRuntimeMetrics: !first,
	})
	if err != nil {
		return nil, err
	}
	s.Telemetry = tel
	if err := s.redis(); err != nil {
		return nil, err
	}
	limiter, err := s.limiter()
	if err != nil {
		return nil, err
	}
	port, _ := settings.HTTP.port(name)
	admin := 0
	if port != 0 {
		admin = port + 1000
	}
	var proxies []netip.Prefix
	if name != "edge" { // the edge stands in front of the others and tells whom it speaks for
		proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	drain := settings.Drain
	s.Shell, err = service.New(service.Config{
		Name: name, Owner: name, Edge: name == "edge",
		Addr:           net.JoinHostPort(settings.HTTP.Host, strconv.Itoa(port)),
		AdminAddr:      net.JoinHostPort("127.0.0.1", strconv.Itoa(admin)),
		TrustedProxies: proxies,
		AdminToken:     settings.HTTP.AdminToken.Reveal(),
		Drain: service.DrainBudget{
			Linger: drain.Linger, Ingress: drain.Ingress, Work: drain.Work, Flush: drain.Flush, Close: drain.Close,
		},
		OnReport: p.opts.OnReport,
	}, service.Deps{
		Telemetry: tel, Limiter: limiter,
		// The verifier is made after the listeners are open, because the issuer may be one of them.
		Authenticator: security.AuthenticatorFunc(func(r *http.Request) (security.Principal, error) {
			return s.authenticator.Authenticate(r)
		}),
	})
	if err != nil {
		return nil, err
	}
	if err := s.watchRedis(); err != nil {
		return nil, err
	}
	if err := s.Shell.Listen(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// connect makes everything that reaches outside.
func (s *Service) connect(ctx context.Context) error {
	if err := s.auth(); err != nil {
		return err
	}
	policies, err := resilience.NewSet(s.Settings.Policies...)
	if err != nil {
		return err
	}
	s.Policies = policies
	if err := s.loadFlags(ctx); err != nil {
		return err
	}
	if stateless(s.Name) {
		return nil
	}
	if err := s.openDB(ctx); err != nil {
		return err
	}
	return s.openKafka(ctx)
}

// Migrate brings the service's own tables up to date. The files are goose's; see package migrate.
func (s *Service) Migrate(ctx context.Context, files fs.FS) error {
	return migrate.Up(ctx, s.DB, files, migrate.Config{Name: s.Name})
}

// URL is where another service is reached.
func (s *Service) URL(name string) (string, error) { return s.Platform.URL(name) }

// HTTPClient is for calls to others: watched by telemetry and guarded by the policy of that name from the settings.
func (s *Service) HTTPClient(policy string) (*http.Client, error) {
	guard, err := s.Policies.Policy(policy)
	if err != nil {
		return nil, fmt.Errorf("platform: %s: %w", s.Name, err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	s.OnClose("http "+policy, func() error { transport.CloseIdleConnections(); return nil })
	return &http.Client{Transport: resiliencehttp.Transport(guard, s.Telemetry.Transport(transport))}, nil
}

// OnClose adds something that ends when the clients are closed, and also when the service never ran.
func (s *Service) OnClose(name string, fn func() error) {
	s.closers = append(s.closers, fn)
	_ = s.Shell.Add(service.Component{ // a refusal shows when the shell runs
		Name: name, Phase: service.CloseClients, Stop: func(context.Context) error { return fn() },
	})
}

// close releases everything of a service that never ran.
func (s *Service) close() error {
	var errs []error
	if s.Shell != nil {
		errs = append(errs, s.Shell.Close())
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	if s.Telemetry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		errs = append(errs, s.Telemetry.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// failed logs what a worker survives by itself.
func (s *Service) failed(what string) func(context.Context, error) {
	return func(ctx context.Context, err error) { s.Telemetry.Log(ctx).Warn(what, zap.Error(err)) }
}
