package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
)

// NoTimeout as a [Route.Timeout] lets a request take as long as it likes, for streams. The server's read and write
// timeouts do not apply to it either.
const NoTimeout time.Duration = -1

// Route declares one route of the service. Pattern, Operation, Policy and Handler are required.
type Route struct {
	// Pattern is a pattern of http.ServeMux with a method, such as "GET /pets/{id}".
	Pattern string
	// Operation names what the route does, such as "get-pet": letters, digits, "-", "_" and ".", unique in the service. It
	// is the action that authorizers see and part of the rate limit's key.
	Operation string
	// Summary says in a sentence what the route does, for the route table.
	Summary string
	// Policy is who may call. The zero value does not register: say security.Public() for everybody.
	Policy security.Policy
	// Limit is how often one caller may call, such as "30/min" or "10/s burst 20"; see security.ParseLimit. A caller is the
	// principal, or the address of an anonymous one. Empty: no limit.
	Limit string
	// Timeout is the deadline of the handler's context and, a little later, of the connection. 0: Config.DefaultTimeout. A
	// caller that will wait less says so in X-Request-Timeout-Ms.
	Timeout time.Duration
	// MaxBody is the largest body in bytes. 0: Config.DefaultMaxBody.
	MaxBody int64
	// Owner is who to ask about the route. Empty: Config.Owner.
	Owner string
	// Handler serves the route; [JSON] makes one of a function.
	Handler http.Handler

	limit security.Limit
}

// Handle registers routes. A route that cannot be registered changes nothing, and is named in the error and in that of
// [Service.Run], which refuses to run then.
func (s *Service) Handle(routes ...Route) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	for _, r := range routes {
		if err := s.handleLocked(r); err != nil {
			problems = append(problems, fmt.Errorf("service: route %q (operation %q): %w", r.Pattern, r.Operation, err))
		}
	}
	s.refused = append(s.refused, problems...)
	return errors.Join(problems...)
}

func (s *Service) handleLocked(r Route) error {
	if s.started {
		return errors.New("the service runs already")
	}
	r, err := s.completeRoute(r)
	if err != nil {
		return err
	}
	if other, taken := s.operations[r.Operation]; taken {
		return fmt.Errorf("the operation is already that of %q", other)
	}
	if err := register(s.mux, r.Pattern, observability.Route(r.Pattern, s.guard(r))); err != nil {
		return err
	}
	s.operations[r.Operation] = r.Pattern
	s.routes = append(s.routes, r)
	return nil
}

// completeRoute fills in defaults and finds everything that is wrong with the declaration.
func (s *Service) completeRoute(r Route) (Route, error) {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	method, path, ok := strings.Cut(r.Pattern, " ")
	switch {
	case !ok || !slices.Contains(methods, method):
		add("the pattern needs a method in front, such as \"GET /pets/{id}\"")
	case path == healthPath || path == readyPath:
		add("%s is answered by the service itself", path)
	}
	if !validOperation(r.Operation) {
		add("Operation must be 1 to 64 of letters, digits, \"-\", \"_\" and \".\"")
	}
	if r.Handler == nil {
		add("Handler is nil")
	} else if c, ok := r.Handler.(interface{ checkRoute(pattern string) error }); ok {
		if err := c.checkRoute(r.Pattern); err != nil {
			problems = append(problems, err)
		}
	}
	if r.Policy.IsZero() {
		add("it has no policy: say who may call it, security.Public() for everybody")
	} else if err := r.Policy.Validate(); err != nil {
		problems = append(problems, err)
	} else if !r.Policy.AllowsAnonymous() && s.authn == nil {
		add("its policy %s needs to know the caller, and the service has no Authenticator (Deps.Authenticator)", r.Policy)
	}
	if r.Limit != "" {
		var err error
		if r.limit, err = security.ParseLimit(r.Limit); err != nil {
			problems = append(problems, err)
		}
		if s.limiter == nil {
			add("it has a limit and the service has no Limiter (Deps.Limiter)")
		}
	}
	switch {
	case r.Timeout == 0:
		r.Timeout = s.cfg.DefaultTimeout
	case r.Timeout < 0 && r.Timeout != NoTimeout:
		add("Timeout is %v: it must be positive, 0 for the default or NoTimeout", r.Timeout)
	}
	switch {
	case r.MaxBody == 0:
		r.MaxBody = s.cfg.DefaultMaxBody
	case r.MaxBody < 0:
		add("MaxBody is %d: it must be positive, or 0 for the default", r.MaxBody)
	}
	if r.Owner == "" {
		r.Owner = s.cfg.Owner
	}
	return r, errors.Join(problems...)
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

func validOperation(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// register turns ServeMux's panics about bad and conflicting patterns into errors.
func register(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the pattern cannot be registered: %v", p)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// Routes are the registered routes with defaults filled in, in the order of registration.
func (s *Service) Routes() []Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.routes)
}

// guard is everything between the mux and the route's handler, in the order of the package comment.
func (s *Service) guard(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, cancel := withDeadline(w, r, route.Timeout)
		defer cancel()
		r, err := s.admit(w, r, route)
		if err != nil {
			WriteError(w, r, err)
			return
		}
		if r.ContentLength > route.MaxBody {
			WriteError(w, r, &http.MaxBytesError{Limit: route.MaxBody})
			return
		}
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, route.MaxBody)
		}
		route.Handler.ServeHTTP(w, r)
		if errors.Is(r.Context().Err(), context.DeadlineExceeded) && !begun(w) {
			// The handler gave up without a word: the caller still gets an answer.
			WriteError(w, r, context.DeadlineExceeded)
		}
	})
}

// writeGrace is what a handler gets after its deadline to write the reply that says so.
const writeGrace = 5 * time.Second

// deadlineHeader tells how many milliseconds the caller will wait; resilience/resiliencehttp sends it. It only shortens.
const deadlineHeader = "X-Request-Timeout-Ms"

// withDeadline bounds the handler by its context and the connection a little later. Where the writer knows no deadlines,
// as in tests, the context alone bounds.
func withDeadline(w http.ResponseWriter, r *http.Request, timeout time.Duration) (*http.Request, context.CancelFunc) {
	rc := http.NewResponseController(w)
	if timeout == NoTimeout {
		_ = rc.SetReadDeadline(time.Time{})
		_ = rc.SetWriteDeadline(time.Time{})
		return r, func() {}
	}
	if ms, err := strconv.ParseUint(r.Header.Get(deadlineHeader), 10, 31); err == nil && ms > 0 {
		timeout = min(timeout, time.Duration(ms)*time.Millisecond) //nolint:gosec // 31 bits
	}
	// The route knows better than the server how long its body and its reply may take.
	if r.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(timeout + writeGrace))
	}
	_ = rc.SetWriteDeadline(time.Now().Add(timeout + writeGrace))
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	return r.WithContext(ctx), cancel
}
