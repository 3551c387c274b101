package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
)

// HandleAdmin mounts a handler on the admin listener, such as an operator's page. Patterns are those of http.ServeMux.
// What is mounted is behind the Host check, the token where one is required, and a check against cross-site requests.
func (s *Service) HandleAdmin(pattern string, h http.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := func() error {
		switch {
		case s.started:
			return fmt.Errorf("service: admin pattern %q: the service runs already", pattern)
		case h == nil:
			return fmt.Errorf("service: admin pattern %q: Handler is nil", pattern)
		}
		if err := register(s.adminMux, pattern, h); err != nil {
			return fmt.Errorf("service: admin pattern %q: %w", pattern, err)
		}
		return nil
	}()
	if err != nil {
		s.refused = append(s.refused, err)
	}
	return err
}

func (s *Service) mountAdmin() error {
	for pattern, h := range map[string]http.Handler{
		"GET " + healthPath:        s.health.LivenessHandler(),
		"GET " + readyPath:         s.health.DetailHandler(),
		"GET /metrics":             s.tel.MetricsHandler(),
		"GET /routes":              http.HandlerFunc(s.serveRoutes),
		"GET /debug/pprof/":        http.HandlerFunc(pprof.Index),
		"GET /debug/pprof/cmdline": http.HandlerFunc(pprof.Cmdline),
		"GET /debug/pprof/profile": http.HandlerFunc(pprof.Profile),
		"GET /debug/pprof/symbol":  http.HandlerFunc(pprof.Symbol),
		"GET /debug/pprof/trace":   http.HandlerFunc(pprof.Trace),
	} {
		if err := register(s.adminMux, pattern, h); err != nil {
			return err
		}
	}
	return nil
}

// AdminHandler is everything that the admin listener serves, for tests that need no listener.
func (s *Service) AdminHandler() http.Handler {
	host, _, err := net.SplitHostPort(s.cfg.AdminAddr)
	open := err == nil && loopback(host) || s.cfg.DisableAdmin
	inner := s.recoverer(http.NewCrossOriginProtection().Handler(s.adminMux))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case !s.adminHost(r.Host):
			WriteError(w, r, NewProblem(http.StatusMisdirectedRequest, "This listener is not called by that name."))
		case !open && !tokenFree(r.URL.Path) && !s.adminToken(r):
			w.Header().Set("WWW-Authenticate", "Bearer realm="+quoted(s.cfg.Name+" admin"))
			NewProblem(http.StatusUnauthorized, detailCredentials).write(w, r)
		default:
			inner.ServeHTTP(w, r)
		}
	})
}

// tokenFree are the pages that probes and scrapers ask for and that hold nothing secret.
func tokenFree(path string) bool {
	return path == healthPath || path == readyPath || path == "/metrics"
}

// adminHost refuses names that were not declared: a web page whose name is rebound to 127.0.0.1 sends its own name. An
// address cannot be rebound.
func (s *Service) adminHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || slices.ContainsFunc(s.cfg.AdminHosts, func(a string) bool { return strings.EqualFold(a, host) }) {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// adminToken compares digests, so that neither content nor length shows in the time it takes.
func (s *Service) adminToken(r *http.Request) bool {
	if s.cfg.AdminToken == "" {
		return false
	}
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(s.cfg.AdminToken))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok
}
