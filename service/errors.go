package service

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/security"
)

const (
	detailInternal    = "The service failed to answer. Quote the correlation id when you report it."
	detailUnavailable = "The service cannot answer at the moment. Try again later."
	detailTimeout     = "The request took too long and was given up. It may have had an effect."
	detailCredentials = "The request needs valid credentials."
	detailForbidden   = "The caller may not do this."
	detailTooLarge    = "The request's body is too large."
	detailUnknown     = "It is not known whether the request took effect. Read back what you meant to change, or repeat it with " +
		"the same Idempotency-Key."
	detailConcurrent   = "The request collided with another one. Try again."
	detailExists       = "What the request would create or change collides with something that exists."
	detailNotFound     = "There is nothing here by that name."
	detailClientClosed = "The caller closed the connection."
)

// problemOf is the one table from errors to replies. Nothing of err's text gets into the reply; only a *Problem that
// the application made itself is shown as it is.
func problemOf(ctx context.Context, err error, mapError func(error) *Problem) Problem {
	if mapError != nil {
		if p := mapError(err); p != nil {
			return checked(*p)
		}
	}
	var p *Problem
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &p) && p != nil:
		return checked(*p)
	case errors.Is(err, security.ErrNoCredentials), errors.Is(err, security.ErrInvalidToken),
		errors.Is(err, security.ErrUnauthenticated):
		return Problem{Status: http.StatusUnauthorized, Detail: detailCredentials}
	case errors.Is(err, security.ErrDenied):
		return Problem{Status: http.StatusForbidden, Detail: detailForbidden}
	case errors.Is(err, security.ErrUnavailable):
		return Problem{Status: http.StatusServiceUnavailable, Detail: detailUnavailable, Retryable: true}
	case errors.As(err, &tooLarge):
		return Problem{Status: http.StatusRequestEntityTooLarge, Detail: detailTooLarge}
	case errors.Is(err, data.ErrOutcomeUnknown):
		return Problem{Status: http.StatusServiceUnavailable, Type: typePrefix + "outcome-unknown", Detail: detailUnknown}
	case errors.Is(err, data.ErrNoRows):
		return Problem{Status: http.StatusNotFound, Detail: detailNotFound}
	case errors.Is(err, resilience.ErrOpen), errors.Is(err, resilience.ErrRejected):
		return Problem{
			Status: http.StatusServiceUnavailable, Detail: detailUnavailable, Retryable: true, RetryAfter: retryAfter(err),
		}
	case errors.Is(err, resilience.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return Problem{Status: http.StatusGatewayTimeout, Detail: detailTimeout}
	case errors.Is(err, context.Canceled):
		if clientGone(ctx) {
			return Problem{Status: StatusClientClosed, Detail: detailClientClosed}
		}
		return Problem{Status: http.StatusServiceUnavailable, Detail: detailUnavailable, Retryable: true}
	}
	switch data.KindOf(err) {
	case data.KindUnique:
		return Problem{Status: http.StatusConflict, Detail: detailExists}
	case data.KindConflict:
		return Problem{Status: http.StatusServiceUnavailable, Detail: detailConcurrent, Retryable: true, RetryAfter: time.Second}
	case data.KindTimeout, data.KindUnavailable, data.KindFull:
		return Problem{Status: http.StatusServiceUnavailable, Detail: detailUnavailable, Retryable: true}
	default:
		return Problem{Status: http.StatusInternalServerError, Detail: detailInternal}
	}
}

// checked makes sure that an application's problem is a failure.
func checked(p Problem) Problem {
	if p.Status < 400 || p.Status > 599 {
		p.Status = http.StatusInternalServerError
	}
	if p.Status == http.StatusTooManyRequests {
		p.Retryable = true
	}
	return p
}

// clientGone tells a caller's leaving from the service's own cancelling at the end of a drain.
func clientGone(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errDrained)
}

func retryAfter(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if errors.As(err, &hint) {
		return hint.RetryAfter()
	}
	return 0
}

// WriteError answers a request with the problem that belongs to err and tells the request's telemetry about it; do not
// log err besides. The table, first match wins:
//
//   - what [Config.MapError] says
//   - a [*Problem] in err's chain: as it is
//   - security: no or invalid credentials 401 (with WWW-Authenticate, one body for every defect), denied 403, unavailable 503
//   - a body beyond its limit 413
//   - data: outcome unknown 503 (not retryable as it is), no rows 404, unique 409, conflict, timeout, unavailable, full 503
//   - resilience: breaker open or bulkhead full 503 with Retry-After, timeout 504
//   - context: deadline 504, cancelled by the caller 499, cancelled by the drain 503
//   - anything else 500
//
// The text of err never reaches the caller unless it is a Problem. When the reply has already begun nothing can be
// written any more; the error still reaches the telemetry.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	s := serviceFrom(ctx)
	var mapError func(error) *Problem
	name := "service"
	if s != nil {
		mapError, name = s.cfg.MapError, s.cfg.Name
	}
	p := problemOf(ctx, err, mapError)
	observability.Fail(ctx, p.word(), err)
	if begun(w) {
		return
	}
	switch p.Status {
	case http.StatusUnauthorized:
		challenge := "Bearer realm=" + quoted(name)
		if errors.Is(err, security.ErrInvalidToken) {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusGatewayTimeout:
		// Whether the work was done is not known; repeating is safe only where it is safe to do it twice.
		p.Retryable = safe(r)
	}
	p.write(w, r)
}

// safe reports whether a request may be repeated although an earlier one may have had its effect.
func safe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	default:
		return r.Header.Get("Idempotency-Key") != ""
	}
}

// begun looks for the telemetry's recorder below other wrappers and asks whether the reply has begun.
func begun(w http.ResponseWriter) bool {
	for {
		if b, ok := w.(interface{ Written() bool }); ok {
			return b.Written()
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

// quoted writes a quoted-string of RFC 9110; what may not stand in one is left out.
func quoted(s string) string {
	b := []byte{'"'}
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}
