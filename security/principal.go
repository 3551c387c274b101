package security

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Principal is a caller who proved who they are. Treat it as read-only once it is in a context: its slices and its map
// are shared by everybody who reads it there.
type Principal struct {
	// Subject identifies the caller within Issuer. It comes from outside: escape it where it is written, and never make
	// a metric label of it.
	Subject string
	// Issuer is who vouched for the caller. Only Issuer and Subject together are unique.
	Issuer string
	// Roles are compared exactly, with regard to case.
	Roles []string
	// Scopes are what the token may be used for, such as "write:pets".
	Scopes []string
	// Service marks a program that calls with its own credentials rather than on behalf of a person.
	Service bool
	// Expires is when the proof ends. Zero: never.
	Expires time.Time
	// Claims are the other statements of the token, decoded from JSON. May be nil.
	Claims map[string]any
}

// HasRole reports whether the principal has exactly this role.
func (p Principal) HasRole(role string) bool { return role != "" && slices.Contains(p.Roles, role) }

// HasScope reports whether the principal has exactly this scope.
func (p Principal) HasScope(scope string) bool {
	return scope != "" && slices.Contains(p.Scopes, scope)
}

// Key is a text that is different for every pair of issuer and subject, for keys of limits, caches and idempotency
// records. It is not meant to be read back.
func (p Principal) Key() string { return EncodeKey(p.Issuer, p.Subject) }

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns the principal of ctx; ok is false for an anonymous caller.
func PrincipalFrom(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Authenticator finds out who sent a request. Implementations are safe for concurrent use.
//
// The error matches [ErrNoCredentials] when the request carries none, [ErrInvalidToken] for every defect of those it
// carries (the reason leaves through the implementation's hooks only), and [ErrUnavailable] when it cannot be decided
// now: answer 503 then, never let the call through.
type Authenticator interface {
	Authenticate(r *http.Request) (Principal, error)
}

// AuthenticatorFunc makes an [Authenticator] of a function.
type AuthenticatorFunc func(r *http.Request) (Principal, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (Principal, error) { return f(r) }

// TokenSource gives the access token that a client sends with its calls to another service. Implementations are safe
// for concurrent use and cache; ask before every call. The error matches [ErrUnavailable] when no token is to be had at
// the moment.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// Token is an access token. It prints as [redacted].
type Token struct {
	// Value is the secret text that goes behind "Bearer ".
	Value string
	// Expires is when it stops being accepted. Zero: unknown.
	Expires time.Time
}

// Format hides the value from every verb of fmt, so that a token that slips into a message stays a secret.
func (Token) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// String hides the value.
func (Token) String() string { return redacted }

// MarshalText hides the value from encoders, JSON and slog among them.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[redacted]"
