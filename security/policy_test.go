package security_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
)

func TestPolicies(t *testing.T) {
	t.Parallel()
	customer := security.Principal{Subject: "alice", Roles: []string{"customer"}, Scopes: []string{"read:pets"}}
	admin := security.Principal{Subject: "bob", Roles: []string{"admin"}, Scopes: []string{"read:pets", "write:pets"}}
	program := security.Principal{Subject: "billing", Service: true}
	for _, c := range []struct {
		policy                             security.Policy
		text                               string
		anonymous, customer, admin, robots string
	}{
		{security.Policy{}, "none", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.Public(), "public", "allowed", "allowed", "allowed", "allowed"},
		{security.Authenticated(), "authenticated", "anonymous", "allowed", "allowed", "allowed"},
		{security.AnyRole("customer", "admin"), "role(customer|admin)", "anonymous", "allowed", "allowed", "missing_role"},
		{security.AnyRole("Admin"), "role(Admin)", "anonymous", "missing_role", "missing_role", "missing_role"},
		{security.AnyRole(), "invalid(role())", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.AnyRole("admin", ""), "invalid(role(admin|))", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.Scope("write:pets", "read:pets"), "scope(write:pets+read:pets)", "anonymous", "missing_scope", "allowed", "missing_scope"},
		{security.Scope(), "invalid(scope())", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.ServiceOnly(), "service", "anonymous", "not_service", "not_service", "allowed"},
		{
			security.AnyRole("customer", "admin").And(security.Scope("write:pets")), "role(customer|admin)+scope(write:pets)",
			"anonymous", "missing_scope", "allowed", "missing_role",
		},
		{security.Public().And(security.Authenticated()), "public+authenticated", "anonymous", "allowed", "allowed", "allowed"},
		{security.Public().And(security.Policy{}), "invalid(public)", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.Policy{}.And(security.Public()), "invalid(public)", "no_policy", "no_policy", "no_policy", "no_policy"},
		{security.Public().And(security.AnyRole()), "invalid(public+role())", "no_policy", "no_policy", "no_policy", "no_policy"},
	} {
		require.Equal(t, c.text, c.policy.String())
		for _, who := range []struct {
			principal security.Principal
			known     bool
			want      string
		}{
			{admin, false, c.anonymous}, // what an anonymous caller claims does not count
			{customer, true, c.customer}, {admin, true, c.admin}, {program, true, c.robots},
		} {
			d := c.policy.Check(t.Context(), who.principal, who.known)
			require.Equal(t, who.want, d.Reason, "%s for %s", c.text, who.principal.Subject)
			require.Equal(t, who.want == "allowed", d.Allowed)
			require.Equal(t, c.text, d.Policy)
		}
		require.Equal(t, c.anonymous == "allowed", c.policy.AllowsAnonymous(), c.text)
		require.Equal(t, c.anonymous == "no_policy", c.policy.Validate() != nil, c.text)
	}
	require.True(t, security.Policy{}.IsZero())
	require.False(t, security.AnyRole().IsZero())
}

// A policy does not change when the slice it was made of does, nor by being extended.
func TestPoliciesAreValues(t *testing.T) {
	t.Parallel()
	roles := []string{"admin"}
	p := security.AnyRole(roles...)
	roles[0] = "customer"
	a, b := p.And(security.Scope("a")), p.And(security.Scope("b"))
	require.Equal(t, "role(admin)", p.String())
	require.Equal(t, "role(admin)+scope(a)", a.String())
	require.Equal(t, "role(admin)+scope(b)", b.String())
}

func TestEmptyNamesMatchNothing(t *testing.T) {
	t.Parallel()
	p := security.Principal{Roles: []string{""}, Scopes: []string{""}}
	require.False(t, p.HasRole(""))
	require.False(t, p.HasScope(""))
}

func TestDecisionErr(t *testing.T) {
	t.Parallel()
	require.NoError(t, security.Decision{Allowed: true}.Err())
	err := security.Authenticated().Check(t.Context(), security.Principal{}, false).Err()
	require.ErrorIs(t, err, security.ErrUnauthenticated)
	require.ErrorIs(t, err, security.ErrDenied)
	err = security.AnyRole("admin").Check(t.Context(), security.Principal{}, true).Err()
	require.ErrorIs(t, err, security.ErrDenied)
	require.NotErrorIs(t, err, security.ErrUnauthenticated)
	var denied *security.DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, security.ReasonMissingRole, denied.Decision.Reason)
	require.ErrorIs(t, security.Decision{}.Err(), security.ErrDenied, "the zero decision denies")
}

func TestAuthorizers(t *testing.T) {
	t.Parallel()
	owner := security.AuthorizerFunc(func(_ context.Context, r security.AccessRequest) (security.Decision, error) {
		return security.Decision{Allowed: r.Attributes["owner"] == r.Principal.Subject, Policy: "owner", Reason: "not_owner"}, nil
	})
	broken := security.AuthorizerFunc(func(context.Context, security.AccessRequest) (security.Decision, error) {
		return security.Decision{Allowed: true}, errors.New("broken")
	})
	ask := func(owned string, all ...security.Authorizer) (security.Decision, error) {
		return security.All(all...).Authorize(t.Context(), security.AccessRequest{
			Principal: security.Principal{Subject: "alice"}, Known: true, Policy: security.Authenticated(),
			Attributes: map[string]any{"owner": owned},
		})
	}
	d, err := ask("alice", security.PolicyAuthorizer{}, owner)
	require.NoError(t, err)
	require.True(t, d.Allowed)
	d, err = ask("bob", security.PolicyAuthorizer{}, owner)
	require.NoError(t, err)
	require.Equal(t, security.Decision{Policy: "owner", Reason: "not_owner"}, d)
	d, err = ask("alice", security.PolicyAuthorizer{}, broken)
	require.Error(t, err)
	require.False(t, d.Allowed, "an authorizer that fails does not allow, whatever it says")
	d, err = ask("alice")
	require.NoError(t, err)
	require.False(t, d.Allowed, "nobody asked, nobody allowed")
	d, err = security.PolicyAuthorizer{}.Authorize(t.Context(), security.AccessRequest{Known: true})
	require.NoError(t, err)
	require.False(t, d.Allowed, "no policy")
}
