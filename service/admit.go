package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
)

// admit authenticates, authorises and counts one request. The request it returns carries the principal, also beside an
// error. Any doubt refuses.
func (s *Service) admit(w http.ResponseWriter, r *http.Request, route Route) (*http.Request, error) {
	r, principal, known, err := s.authenticate(r)
	if err == nil {
		err = s.authorise(r, route, principal, known)
	}
	s.decisions.authorised(r.Context(), route, decisionOf(err))
	if err == nil {
		err = s.count(w, r, route, principal, known)
	}
	if err != nil && s.hooks.Denied != nil && !errors.Is(err, context.Canceled) {
		s.hooks.Denied(r.Context(), Denial{
			Kind: kindOf(err), Operation: route.Operation, Pattern: route.Pattern, Principal: principal, Known: known,
			Client: s.clientGroup(r), Policy: route.Policy.String(), Err: err,
		})
	}
	return r, err
}

func kindOf(err error) string {
	var p *Problem
	switch {
	case errors.As(err, &p) && p.Status == http.StatusTooManyRequests:
		return DeniedRateLimited
	case errors.Is(err, security.ErrNoCredentials), errors.Is(err, security.ErrInvalidToken):
		return DeniedUnauthenticated
	case errors.Is(err, security.ErrDenied):
		return DeniedForbidden
	default:
		return DeniedUndecided
	}
}

func decisionOf(err error) string {
	if err == nil {
		return "allowed"
	}
	return kindOf(err)
}

func (s *Service) authorise(r *http.Request, route Route, principal security.Principal, known bool) error {
	decision, err := s.authz.Authorize(r.Context(), security.AccessRequest{
		Principal: principal, Known: known, Action: route.Operation, Resource: r.URL.Path, Policy: route.Policy,
	})
	if err != nil {
		return fmt.Errorf("service: authorise %q: %w (%w)", route.Operation, security.ErrUnavailable, err)
	}
	err = decision.Err()
	if err != nil && !known {
		return fmt.Errorf("%w (%w)", security.ErrNoCredentials, err)
	}
	return err
}

// authenticate finds out who calls. A bad token is refused on public routes too: whoever sends one wants to be known.
func (s *Service) authenticate(r *http.Request) (*http.Request, security.Principal, bool, error) {
	if s.authn == nil {
		return r, security.Principal{}, false, nil
	}
	p, err := s.authn.Authenticate(r)
	switch {
	case err == nil:
		ctx := observability.WithPrincipal(security.WithPrincipal(r.Context(), p), p.Subject)
		return r.WithContext(ctx), p, true, nil
	case errors.Is(err, security.ErrNoCredentials):
		return r, security.Principal{}, false, nil
	case errors.Is(err, security.ErrInvalidToken), errors.Is(err, security.ErrUnavailable), errors.Is(err, context.Canceled):
		return r, security.Principal{}, false, err
	default:
		return r, security.Principal{}, false, fmt.Errorf("service: authenticate: %w (%w)", security.ErrUnavailable, err)
	}
}

// count asks the limiter, and tells the caller how much is left in the header fields of the IETF draft "RateLimit header
// fields for HTTP".
func (s *Service) count(w http.ResponseWriter, r *http.Request, route Route, p security.Principal, known bool) error {
	if route.limit.IsZero() {
		return nil
	}
	key := security.EncodeKey(s.cfg.Name, route.Operation, "address", s.clientGroup(r))
	if known {
		key = security.EncodeKey(s.cfg.Name, route.Operation, "principal", p.Key())
	}
	res, err := s.limiter.Allow(r.Context(), key, route.limit)
	if err != nil {
		s.decisions.counted(r.Context(), route, "error")
		return fmt.Errorf("service: limit %q: %w (%w)", route.Operation, security.ErrUnavailable, err)
	}
	h := w.Header()
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", route.Operation, route.limit.Events, seconds(route.limit.Per)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", route.Operation, res.Remaining, seconds(res.ResetAfter)))
	switch {
	case res.Allowed && res.Degraded:
		s.decisions.counted(r.Context(), route, "degraded")
		return nil
	case res.Allowed:
		s.decisions.counted(r.Context(), route, "allowed")
		return nil
	}
	s.decisions.counted(r.Context(), route, "limited")
	return &Problem{
		Status: http.StatusTooManyRequests, Detail: "Too many requests: " + route.limit.String() + " are allowed.",
		Retryable: true, RetryAfter: max(res.RetryAfter, 1),
	}
}
