// Package security says who calls, what a route demands of them and how often they may: principals, authenticators,
// policies, authorizers and rate limits. It holds the vocabulary and the decisions that need no technology; tokens are
// verified by security/oidc and calls are counted by security/ratelimit.
//
// The problem: a service that forgets one check is open. So the zero value of everything here refuses. The zero [Policy]
// is "no policy" and denies, a policy's [Policy.Check] never allows an anonymous caller except under [Public], and an
// [Authenticator] that cannot decide returns [ErrUnavailable], which a transport answers with 503, never by letting the
// call through.
//
// The smallest complete use:
//
//	p, err := authenticator.Authenticate(r)      // who calls?
//	known := err == nil
//	if err != nil && !errors.Is(err, security.ErrNoCredentials) {
//		return refuse(err)                       // a bad token is refused on public routes too
//	}
//	d := security.AnyRole("admin").Check(r.Context(), p, known)
//	if !d.Allowed { … }                          // 401 when !known, else 403
//
// What it does not do: it speaks no protocol, stores no sessions, verifies no tokens and keeps no counters. It maps
// nothing to HTTP status codes; the transport does that in one table.
package security
