// Package oidc verifies the access tokens (JWTs) of one OpenID Connect issuer and fetches tokens for a service's own
// calls.
//
// The problem: a JWT library verifies a signature, and that is the smaller half. What breaks services is everything
// around it: an algorithm taken from the token, a member that occurs twice, a key looked up across issuers, an ID token
// sent as an access token, a flood of unknown key ids that turns every request into a request to the issuer. [Verifier]
// checks in one fixed order: size and dots, strict base64url, header without duplicates, crit/b64/zip/enc refused,
// algorithm allow-list, key by key id bound to exactly one algorithm, signature, and only then the claims: iss, aud,
// exp, nbf, iat, type. No claim is read before the signature holds.
//
// The smallest complete use:
//
//	v, err := oidc.New(oidc.Config{Issuer: "https://id.example.com/realms/shop", Audience: "shop"})
//	…
//	go v.Run(ctx)                            // optional: keeps the keys fresh in the background
//	principal, err := v.Authenticate(request) // v is a security.Authenticator
//
// Failure semantics: every defect of a token is the one error [security.ErrInvalidToken]; which check failed leaves
// through [Hooks] as one of a closed set of reasons and is never told to the caller. While no keys are to be had the
// error is [security.ErrUnavailable] (answer 503); nothing is ever let through. Keys that were loaded once stay in use
// while the issuer is away, up to Config.MaxStale. A key that the issuer withdrew is refused after at most
// Config.RefreshEvery plus one fetch. A token itself cannot be revoked here: its lifetime is the bound, capped by
// Config.MaxLifetime.
//
// What it does not do: it has no login flow, no sessions and no introspection of opaque tokens, accepts no symmetric
// algorithm (HS256…) and no encrypted token, and reads tokens from the Authorization header only.
package oidc
