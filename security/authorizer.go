package security

import "context"

// Why a [Decision] came out as it did: a closed set, fit for a metric label and for an audit entry. An [Authorizer] of
// one's own may add reasons; keep those a closed set too.
const (
	ReasonAllowed      = "allowed"
	ReasonNoPolicy     = "no_policy"
	ReasonAnonymous    = "anonymous"
	ReasonMissingRole  = "missing_role"
	ReasonMissingScope = "missing_scope"
	ReasonNotService   = "not_service"
	ReasonError        = "error"
)

// Decision is the answer to "may this caller do that?". The zero value denies.
type Decision struct {
	Allowed bool
	// Policy names what decided: [Policy.String] or the ids of deciding policies.
	Policy string
	// Reason is one of the Reason… constants, or an authorizer's own.
	Reason string
}

// Err is nil when the decision allows, else a [*DeniedError].
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	return &DeniedError{Decision: d}
}

// AccessRequest is one question to an [Authorizer].
type AccessRequest struct {
	// Principal is the caller; ignored unless Known.
	Principal Principal
	// Known is false for an anonymous caller.
	Known bool
	// Action is the operation, such as "create-order".
	Action string
	// Resource is what it is done to, such as "orders/42". May be empty.
	Resource string
	// Policy is what the route demands. The zero value denies.
	Policy Policy
	// Attributes are further facts about the resource or the circumstances, such as its owner. May be nil.
	Attributes map[string]any
}

// Authorizer decides whether a caller may do something. Implementations are safe for concurrent use.
//
// When it returns an error no decision was made: the error matches [ErrUnavailable] and the Decision does not allow.
// Callers deny on any error.
type Authorizer interface {
	Authorize(ctx context.Context, req AccessRequest) (Decision, error)
}

// AuthorizerFunc makes an [Authorizer] of a function.
type AuthorizerFunc func(ctx context.Context, req AccessRequest) (Decision, error)

// Authorize calls f.
func (f AuthorizerFunc) Authorize(ctx context.Context, req AccessRequest) (Decision, error) {
	return f(ctx, req)
}

// PolicyAuthorizer is the default [Authorizer]: the route's own policy decides and nothing else. It never fails.
type PolicyAuthorizer struct{}

// Authorize checks the request's policy.
func (PolicyAuthorizer) Authorize(ctx context.Context, req AccessRequest) (Decision, error) {
	return req.Policy.Check(ctx, req.Principal, req.Known), nil
}

// All is an [Authorizer] that allows what every one of authorizers allows, asked in order; the first that does not allow,
// or fails, decides. Without authorizers it denies. Put [PolicyAuthorizer] first and those that cost more behind it.
func All(authorizers ...Authorizer) Authorizer {
	return AuthorizerFunc(func(ctx context.Context, req AccessRequest) (Decision, error) {
		last := Decision{Policy: "none", Reason: ReasonNoPolicy}
		for _, a := range authorizers {
			d, err := a.Authorize(ctx, req)
			if err != nil {
				return Decision{Policy: d.Policy, Reason: ReasonError}, err
			}
			if !d.Allowed {
				return d, nil
			}
			last = d
		}
		return last, nil
	})
}
