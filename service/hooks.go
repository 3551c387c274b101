package service

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
)

// Hooks are told what an audit log wants to know; each may be nil. They are called in the request's goroutine before the
// reply is sent, so what must be written down first can be.
type Hooks struct {
	// Denied is called for every request that was refused because of who called or how often.
	Denied func(ctx context.Context, d Denial)
}

// The kinds of a [Denial].
const (
	DeniedUnauthenticated = "unauthenticated" // 401
	DeniedForbidden       = "forbidden"       // 403
	DeniedRateLimited     = "rate-limited"    // 429
	DeniedUndecided       = "undecided"       // 503: no decision could be made
)

// Denial is a refused request.
type Denial struct {
	// Kind is one of the Denied… constants.
	Kind string
	// Operation and Pattern are the route's.
	Operation, Pattern string
	// Principal is the caller when Known.
	Principal security.Principal
	Known     bool
	// Client is the caller's address, an IPv6 one as its /64 network.
	Client string
	// Policy is what the route demands.
	Policy string
	// Err is why; for logs and audit entries, never for the caller.
	Err error
}

// decisions counts what was decided about callers. Labels come from the route declarations.
type decisions struct {
	authz, limits metric.Int64Counter
}

func newDecisions(tel *observability.Telemetry) (decisions, error) {
	m := tel.Meter("github.com/marty-framework/mmf/service")
	var d decisions
	var err1, err2 error
	d.authz, err1 = m.Int64Counter("mmf.authz.decisions", metric.WithUnit("{decision}"),
		metric.WithDescription("Decisions about who may call a route."))
	d.limits, err2 = m.Int64Counter("mmf.ratelimit.decisions", metric.WithUnit("{decision}"),
		metric.WithDescription("Decisions about how often a caller may call a route."))
	return d, errors.Join(err1, err2)
}

func (d decisions) authorised(ctx context.Context, route Route, decision string) {
	d.authz.Add(ctx, 1, metric.WithAttributes(attribute.String("decision", decision),
		attribute.String("policy", route.Policy.String()), attribute.String("http.route", route.Pattern[strings.IndexByte(route.Pattern, '/'):])))
}

func (d decisions) counted(ctx context.Context, route Route, decision string) {
	d.limits.Add(ctx, 1, metric.WithAttributes(attribute.String("decision", decision), attribute.String("policy", route.Operation)))
}
