package oidc

import (
	"context"
	"time"
)

// Reason says why a token was refused, or that it was not: a closed set, fit for a metric label and for an audit entry.
type Reason string

// The reasons, in the order of the checks.
const (
	ReasonOK            Reason = "ok"
	ReasonNoCredentials Reason = "no_credentials"
	ReasonCredentials   Reason = "bad_authorization_header"
	ReasonSize          Reason = "too_large"
	ReasonMalformed     Reason = "malformed"
	ReasonHeader        Reason = "bad_header"
	ReasonExtension     Reason = "refused_header_member" // crit, b64, zip, enc, cty
	ReasonAlgorithm     Reason = "algorithm"
	ReasonUnavailable   Reason = "keys_unavailable"
	ReasonUnknownKey    Reason = "unknown_key"
	ReasonKeyAlgorithm  Reason = "key_algorithm"
	ReasonSignature     Reason = "signature"
	ReasonPayload       Reason = "bad_payload"
	ReasonIssuer        Reason = "issuer"
	ReasonAudience      Reason = "audience"
	ReasonExpired       Reason = "expired"
	ReasonLifetime      Reason = "lifetime"
	ReasonNotYetValid   Reason = "not_yet_valid"
	ReasonIssuedAt      Reason = "issued_at"
	ReasonType          Reason = "token_type"
	ReasonSubject       Reason = "subject"
	ReasonRoles         Reason = "roles"
)

// Hooks observe a [Verifier]. Each is optional, is called on the goroutine of the work it reports and must return soon.
type Hooks struct {
	// OnVerify is called once per Authenticate or Verify. ctx is the caller's.
	OnVerify func(ctx context.Context, reason Reason)
	// OnRefresh is called after every attempt to fetch keys.
	OnRefresh func(ctx context.Context, r Refresh)
}

// Refresh reports one attempt to fetch keys.
type Refresh struct {
	// Err is nil when it succeeded. When it failed the keys of before stay in use.
	Err error
	// Keys is how many usable keys there are now.
	Keys int
	// Skipped are the keys that were not taken, and why. Ids come from the issuer's document.
	Skipped []SkippedKey
	// Took is how long the attempt lasted.
	Took time.Duration
}

// SkippedKey is a key of the issuer's document that is not used.
type SkippedKey struct {
	ID     string
	Reason string
}
