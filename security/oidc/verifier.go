package oidc

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/marty-framework/mmf/security"
)

// Verifier accepts the access tokens of one issuer. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	client *http.Client
	keys   *keyCache

	mu      sync.Mutex
	jwksURL string // "" until discovered, and again after a failure
}

var _ security.Authenticator = (*Verifier)(nil)

// New makes a verifier. It reaches out to nobody: keys are fetched when the first token arrives, by [Verifier.Run] or by
// [Verifier.Ready], so a service starts while its issuer is away. The error joins every problem of cfg.
func New(cfg Config) (*Verifier, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	v := &Verifier{cfg: cfg, client: newClient(cfg.HTTPClient, cfg.HTTPTimeout)}
	v.keys = &keyCache{
		fetch: v.fetchKeys, hook: cfg.Hooks.OnRefresh,
		refreshEvery: cfg.RefreshEvery, cooldown: cfg.Cooldown, maxStale: cfg.MaxStale, timeout: cfg.HTTPTimeout,
	}
	return v, nil
}

// Run keeps the keys fresh in the background until ctx ends, and then returns nil. It is optional: without it the call
// that finds the keys older than Config.RefreshEvery fetches them, and waits for that.
func (v *Verifier) Run(ctx context.Context) error {
	v.keys.run(ctx)
	return nil
}

// Ready reports whether tokens can be verified now, for a readiness check; it tries to load the keys if there are none.
// The error matches [security.ErrUnavailable].
func (v *Verifier) Ready(ctx context.Context) error { return v.keys.ready(ctx) }

// KeysAge is the time since the keys in use were fetched; ok is false when there are none.
func (v *Verifier) KeysAge() (age time.Duration, ok bool) {
	set, age := v.keys.snapshot()
	if set == nil {
		return 0, false
	}
	return age, true
}

// Authenticate verifies the bearer token of the Authorization header; a token in the query, a body or a cookie is not
// looked at. The error matches [security.ErrNoCredentials] when there is no Authorization header or it has another
// scheme, [security.ErrInvalidToken] for every defect, two such headers among them, and [security.ErrUnavailable] when
// there are no keys to verify with.
func (v *Verifier) Authenticate(r *http.Request) (security.Principal, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		v.report(r.Context(), ReasonNoCredentials)
		return security.Principal{}, security.ErrNoCredentials
	}
	if len(values) > 1 {
		v.report(r.Context(), ReasonCredentials)
		return security.Principal{}, security.ErrInvalidToken
	}
	end := strings.IndexFunc(values[0], func(r rune) bool { return r == ' ' || r == '\t' })
	if end < 0 {
		end = len(values[0])
	}
	scheme, rest := values[0][:end], values[0][end:]
	if scheme != "" && !strings.EqualFold(scheme, "Bearer") {
		v.report(r.Context(), ReasonNoCredentials)
		return security.Principal{}, security.ErrNoCredentials
	}
	raw, ok := strings.CutPrefix(rest, " ")
	if !ok || scheme == "" {
		v.report(r.Context(), ReasonCredentials)
		return security.Principal{}, security.ErrInvalidToken
	}
	return v.Verify(r.Context(), raw)
}

// Verify checks one access token. The error matches [security.ErrInvalidToken] or [security.ErrUnavailable], as with
// Authenticate. A call may wait for a fetch of keys, at most Config.HTTPTimeout; ctx bounds the wait for another
// call's fetch.
func (v *Verifier) Verify(ctx context.Context, raw string) (security.Principal, error) {
	p, reason, err := v.verify(ctx, raw)
	v.report(ctx, reason)
	if err != nil {
		return security.Principal{}, err
	}
	if reason != ReasonOK {
		return security.Principal{}, security.ErrInvalidToken
	}
	return p, nil
}

func (v *Verifier) verify(ctx context.Context, raw string) (security.Principal, Reason, error) {
	none := security.Principal{}
	t, reason := parse(raw, v.cfg.MaxTokenBytes, v.cfg.Algorithms)
	if reason != ReasonOK {
		return none, reason, nil
	}
	k, found, err := v.keys.get(ctx, t.keyID, t.hasKeyID)
	switch {
	case err != nil:
		return none, ReasonUnavailable, err
	case !found:
		return none, ReasonUnknownKey, nil
	case k.algorithm != t.algorithm:
		return none, ReasonKeyAlgorithm, nil
	}
	if k.method.Verify(t.signed, t.signature, k.public) != nil {
		return none, ReasonSignature, nil //nolint:nilerr // a defect of the token is a reason, as above and below
	}
	claims, err := decodeObject(t.payload)
	if err != nil {
		return none, ReasonPayload, nil //nolint:nilerr // a defect of the token is a reason, and never shown to whoever sent it
	}
	p, reason := v.cfg.principal(t.kind, claims, time.Now())
	return p, reason, nil
}

func (v *Verifier) report(ctx context.Context, reason Reason) {
	if v.cfg.Hooks.OnVerify != nil {
		v.cfg.Hooks.OnVerify(ctx, reason)
	}
}

// fetchKeys finds the key set's address if need be and fetches the keys. After a failure it asks discovery again, for
// the address may have moved.
func (v *Verifier) fetchKeys(ctx context.Context) (*keySet, error) {
	v.mu.Lock()
	address := v.jwksURL
	v.mu.Unlock()
	if address == "" {
		address = v.cfg.JWKSURL
	}
	if address == "" {
		d, err := discover(ctx, v.client, v.cfg.Issuer, v.cfg.KeyHosts, v.cfg.AllowInsecureIssuer)
		if err != nil {
			return nil, err
		}
		if address = d.JWKSURL; address == "" {
			return nil, errNoKeysURL
		}
	}
	body, err := get(ctx, v.client, address)
	var set *keySet
	if err == nil {
		set, err = parseKeySet(body, v.cfg.Algorithms)
	}
	if err != nil {
		address = ""
	}
	v.mu.Lock()
	v.jwksURL = address
	v.mu.Unlock()
	return set, err
}
