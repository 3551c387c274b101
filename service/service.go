package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
)

// Service is the shell of one service: routes, admin listener, components and drain. Add everything before
// [Service.Run]. It is safe for concurrent use.
type Service struct {
	cfg     Config
	tel     *observability.Telemetry
	ownsTel bool
	health  *observability.Health
	authn   security.Authenticator
	authz   security.Authorizer
	limiter security.Limiter
	hooks   Hooks

	decisions decisions

	mux      *http.ServeMux
	adminMux *http.ServeMux
	draining atomic.Bool

	mu         sync.Mutex
	refused    []error // every refused registration: Run refuses too
	routes     []Route
	operations map[string]string // operation → pattern
	components []Component
	public     net.Listener
	admin      net.Listener
	started    bool
	report     Report
}

// New makes a service. It opens and starts nothing; see [Service.Listen] and [Service.Run]. The error joins everything
// that is wrong with cfg.
func New(cfg Config, deps Deps) (*Service, error) {
	cfg = cfg.withDefaults()
	withAdmin, addrErr := cfg.withAdminAddr()
	if err := errors.Join(cfg.validate(), addrErr); err != nil {
		return nil, err
	}
	s := &Service{
		cfg: withAdmin, tel: deps.Telemetry, health: deps.Health, authn: deps.Authenticator, authz: deps.Authorizer,
		limiter: deps.Limiter, hooks: deps.Hooks, mux: http.NewServeMux(), adminMux: http.NewServeMux(), operations: map[string]string{},
	}
	if s.authz == nil {
		s.authz = security.PolicyAuthorizer{}
	}
	var err error
	if s.health == nil {
		if s.health, err = observability.NewHealth(); err != nil {
			return nil, err
		}
	}
	if s.tel == nil {
		if s.tel, err = observability.New(observability.Config{Service: cfg.Name}); err != nil {
			return nil, err
		}
		s.ownsTel = true
	}
	if s.decisions, err = newDecisions(s.tel); err != nil {
		return nil, fmt.Errorf("service: metrics: %w", err)
	}
	if err := s.mountAdmin(); err != nil {
		return nil, fmt.Errorf("service: admin: %w", err)
	}
	return s, nil
}

// Telemetry is the telemetry that the service uses, its own when it was given none.
func (s *Service) Telemetry() *observability.Telemetry { return s.tel }

// Health answers /readyz; add checks to it.
func (s *Service) Health() *observability.Health { return s.health }

// DrainBudget is what a shutdown may take, phase by phase, with the defaults filled in.
func (s *Service) DrainBudget() DrainBudget { return s.cfg.Drain }

// Handler is everything that the public listener serves, for tests that need no listener.
func (s *Service) Handler() http.Handler {
	var h http.Handler = http.HandlerFunc(s.dispatch)
	h = s.recoverer(h)
	h = s.outermost(h)
	var opts []observability.MiddlewareOption
	if s.cfg.Edge {
		opts = append(opts, observability.Edge())
	}
	watched := s.tel.Middleware(h, opts...)
	live, ready := s.health.LivenessHandler(), s.health.ReadinessHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case healthPath:
			live.ServeHTTP(w, r)
		case readyPath:
			ready.ServeHTTP(w, r)
		default:
			watched.ServeHTTP(w, r)
		}
	})
}

const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

type serviceKey struct{}

func serviceFrom(ctx context.Context) *Service {
	s, _ := ctx.Value(serviceKey{}).(*Service)
	return s
}

// outermost puts the service into the context for WriteError, and the headers on the reply that a handler may replace
// but must not forget.
func (s *Service) outermost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if s.draining.Load() {
			h.Set("Connection", "close") // the next request of this connection goes to somebody who stays
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serviceKey{}, s)))
	})
}

// dispatch hands a request to its route, or answers 404 and 405 as problems instead of ServeMux's text.
func (s *Service) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r) // again through the mux: it sets the path's values
		return
	}
	var probe muxReply
	h.ServeHTTP(&probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", probe.Header().Get("Allow"))
		WriteError(w, r, NewProblem(http.StatusMethodNotAllowed, "The method is not one of: "+probe.Header().Get("Allow")+"."))
		return
	}
	WriteError(w, r, NewProblem(http.StatusNotFound, detailNotFound))
}

// muxReply listens to what ServeMux would have answered.
type muxReply struct {
	header http.Header
	status int
}

func (m *muxReply) Header() http.Header {
	if m.header == nil {
		m.header = http.Header{}
	}
	return m.header
}

func (m *muxReply) WriteHeader(status int) { m.status = status }

func (m *muxReply) Write(p []byte) (int, error) { return len(p), nil }
