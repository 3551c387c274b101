package security

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// Policy is what a route demands of its caller. The zero value is "no policy": it is invalid and denies everybody, so a
// route that was forgotten stays closed. Policies are values, never change, and are safe for concurrent use.
type Policy struct {
	// rules must all hold; a policy made by a constructor has at least one.
	rules []rule
	err   error
}

type ruleKind int

const (
	rulePublic ruleKind = iota
	ruleAuthenticated
	ruleAnyRole
	ruleScope
	ruleService
)

type rule struct {
	kind  ruleKind
	names []string
}

// Public lets everybody in, known or not.
func Public() Policy { return Policy{rules: []rule{{kind: rulePublic}}} }

// Authenticated demands a caller who is known, whoever that is.
func Authenticated() Policy { return Policy{rules: []rule{{kind: ruleAuthenticated}}} }

// AnyRole demands a known caller with at least one of roles. Without roles, or with an empty one, the policy is invalid
// and denies everybody.
func AnyRole(roles ...string) Policy {
	return named(ruleAnyRole, roles, "security: AnyRole needs at least one role, none of them empty")
}

// Scope demands a known caller whose token carries every one of scopes. Without scopes, or with an empty one, the policy
// is invalid and denies everybody.
func Scope(scopes ...string) Policy {
	return named(ruleScope, scopes, "security: Scope needs at least one scope, none of them empty")
}

// ServiceOnly demands a program that calls with its own credentials.
func ServiceOnly() Policy { return Policy{rules: []rule{{kind: ruleService}}} }

func named(kind ruleKind, names []string, problem string) Policy {
	p := Policy{rules: []rule{{kind: kind, names: slices.Clone(names)}}}
	if len(names) == 0 || slices.Contains(names, "") {
		p.err = errors.New(problem)
	}
	return p
}

// And demands p and every one of others. Joining with an invalid policy gives an invalid policy.
func (p Policy) And(others ...Policy) Policy {
	out := Policy{rules: slices.Clone(p.rules), err: p.Validate()}
	for _, o := range others {
		out.rules = append(out.rules, o.rules...)
		out.err = errors.Join(out.err, o.Validate())
	}
	return out
}

// IsZero reports whether p is the zero value, that is, no policy at all.
func (p Policy) IsZero() bool { return len(p.rules) == 0 && p.err == nil }

// Validate tells what is wrong with the policy; call it when a route is registered. An invalid policy denies everybody.
func (p Policy) Validate() error {
	if p.IsZero() {
		return errors.New("security: no policy: say security.Public() if everybody may call")
	}
	return p.err
}

// AllowsAnonymous reports whether a caller who is not known gets in.
func (p Policy) AllowsAnonymous() bool {
	if p.Validate() != nil {
		return false
	}
	return !slices.ContainsFunc(p.rules, func(r rule) bool { return r.kind != rulePublic })
}

// String names the policy for the route table, for logs and for metrics, such as "role(admin|customer)+scope(write:pets)".
func (p Policy) String() string {
	if p.IsZero() {
		return "none"
	}
	parts := make([]string, 0, len(p.rules))
	for _, r := range p.rules {
		parts = append(parts, r.String())
	}
	s := strings.Join(parts, "+")
	if p.err != nil {
		return "invalid(" + s + ")"
	}
	return s
}

func (r rule) String() string {
	switch r.kind {
	case rulePublic:
		return "public"
	case ruleAuthenticated:
		return "authenticated"
	case ruleAnyRole:
		return "role(" + strings.Join(r.names, "|") + ")"
	case ruleScope:
		return "scope(" + strings.Join(r.names, "+") + ")"
	case ruleService:
		return "service"
	default:
		return "unknown"
	}
}

// Check decides whether the caller meets the policy; ok is false for an anonymous caller, whose principal is ignored. A
// caller whose proof has meanwhile expired is the authenticator's business, not checked here.
func (p Policy) Check(_ context.Context, caller Principal, ok bool) Decision {
	d := Decision{Policy: p.String()}
	if p.Validate() != nil {
		d.Reason = ReasonNoPolicy
		return d
	}
	for _, r := range p.rules {
		if reason := r.check(caller, ok); reason != ReasonAllowed {
			d.Reason = reason
			return d
		}
	}
	d.Allowed, d.Reason = true, ReasonAllowed
	return d
}

func (r rule) check(caller Principal, ok bool) string {
	if r.kind == rulePublic {
		return ReasonAllowed
	}
	if !ok {
		return ReasonAnonymous
	}
	switch r.kind {
	case ruleAuthenticated:
		return ReasonAllowed
	case ruleAnyRole:
		if slices.ContainsFunc(r.names, caller.HasRole) {
			return ReasonAllowed
		}
		return ReasonMissingRole
	case ruleScope:
		if !slices.ContainsFunc(r.names, func(s string) bool { return !caller.HasScope(s) }) {
			return ReasonAllowed
		}
		return ReasonMissingScope
	case ruleService:
		if caller.Service {
			return ReasonAllowed
		}
		return ReasonNotService
	default:
		return ReasonNoPolicy
	}
}
