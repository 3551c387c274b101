package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds and defaults of [Config].
const (
	// MaxClockSkew is the largest tolerance for clocks that differ.
	MaxClockSkew = time.Minute

	defaultClockSkew    = 30 * time.Second
	defaultTokenBytes   = 16 << 10
	maxTokenBytes       = 1 << 20
	defaultLifetime     = 24 * time.Hour
	defaultRefreshEvery = 5 * time.Minute
	defaultCooldown     = 10 * time.Second
	defaultMaxStale     = 24 * time.Hour
	defaultHTTPTimeout  = 5 * time.Second
	maxDocumentBytes    = 1 << 20
)

// Config says whose tokens are accepted. Issuer and Audience are required; the zero value of every other field is the
// documented default.
type Config struct {
	// Issuer is compared byte for byte with the iss claim and with the discovery document. Its key set is found at
	// Issuer + "/.well-known/openid-configuration". Required; https unless AllowInsecureIssuer.
	Issuer string
	// Audience must be the aud claim or one of its entries, exactly. Required.
	Audience string
	// Algorithms that are accepted. Default: RS256 and ES256. Allowed: RS256, RS384, RS512, ES256, ES384, ES512, EdDSA.
	// Symmetric algorithms are refused: with them whoever verifies can also sign.
	Algorithms []string
	// TokenTypes are the accepted values of the typ header, without regard to case and to a leading "application/".
	// Default: "at+jwt" and "JWT". Add "" for an issuer that sends none (Okta). A token that is not at+jwt is refused when
	// it has the marks of an ID token (nonce, at_hash, c_hash), of a logout token (events) or says it is another kind
	// (token_use, or typ as a claim).
	TokenTypes []string
	// ClockSkew is the tolerance for exp, nbf and iat. Default: 30 s. At most 60 s. Negative: none.
	ClockSkew time.Duration
	// MaxTokenBytes refuses longer tokens before anything is parsed. Default: 16 KiB. At most 1 MiB.
	MaxTokenBytes int
	// MaxLifetime refuses tokens that are, or were made to be, valid for longer. Default: 24 h.
	MaxLifetime time.Duration

	// RolesClaim is the path to the roles, one element per level, so that names with dots are no trouble:
	// []string{"realm_access", "roles"} for Keycloak. Default: []string{"roles"}. The claim is an array of at most 256
	// strings; any other form refuses the token, a missing one means no roles.
	RolesClaim []string
	// ScopeClaim is the name of the claim with the scopes, a text separated by spaces or an array of texts. Default: "scope".
	ScopeClaim string
	// IsService tells whether the token was issued to a program for itself. Default: the rule of RFC 9068, sub equals
	// client_id. It is called after everything else was checked, must not change claims and is safe for concurrent use.
	IsService func(subject string, claims map[string]any) bool

	// JWKSURL is where the keys are. Default: found by discovery.
	JWKSURL string
	// KeyHosts are further hosts ("www.googleapis.com", with port if not the usual one) that the discovery document may
	// name for its keys. Default: only the issuer's own.
	KeyHosts []string
	// AllowInsecureIssuer allows http for an issuer on loopback, for development. Elsewhere http is refused all the same.
	AllowInsecureIssuer bool
	// RefreshEvery is how old keys may be before they are fetched again, so it is also the bound after which a withdrawn
	// key is refused. Default: 5 min.
	RefreshEvery time.Duration
	// Cooldown is the least time between two fetches that unknown key ids cause, in total, and between two attempts while
	// the issuer fails. Default: 10 s.
	Cooldown time.Duration
	// MaxStale is how long keys are used when they cannot be fetched again; afterwards every token is answered with
	// ErrUnavailable. Default: 24 h. At least RefreshEvery.
	MaxStale time.Duration
	// HTTPTimeout bounds one fetch. Default: 5 s.
	HTTPTimeout time.Duration
	// HTTPClient is used for fetches, with its redirects restricted to the same origin. Default: a client of its own that
	// refuses link-local addresses, where clouds keep their metadata.
	HTTPClient *http.Client

	// Hooks observe decisions and fetches.
	Hooks Hooks
}

// supportedAlgorithms leaves out HS* (symmetric), none, and PS* (the library accepts any salt length).
var supportedAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}

func (c Config) withDefaults() Config {
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "ES256"}
	}
	if len(c.TokenTypes) == 0 {
		c.TokenTypes = []string{"at+jwt", "JWT"}
	}
	if len(c.RolesClaim) == 0 {
		c.RolesClaim = []string{"roles"}
	}
	if c.ScopeClaim == "" {
		c.ScopeClaim = "scope"
	}
	if c.IsService == nil {
		c.IsService = serviceByRFC9068
	}
	c.Algorithms, c.RolesClaim = slices.Clone(c.Algorithms), slices.Clone(c.RolesClaim)
	c.KeyHosts = slices.Clone(c.KeyHosts)
	types := make([]string, 0, len(c.TokenTypes))
	for _, t := range c.TokenTypes {
		types = append(types, normalType(t))
	}
	c.TokenTypes = types
	if c.ClockSkew == 0 {
		c.ClockSkew = defaultClockSkew
	}
	if c.ClockSkew < 0 {
		c.ClockSkew = 0
	}
	setDefault(&c.MaxTokenBytes, defaultTokenBytes)
	setDefault(&c.MaxLifetime, defaultLifetime)
	setDefault(&c.RefreshEvery, defaultRefreshEvery)
	setDefault(&c.Cooldown, defaultCooldown)
	setDefault(&c.MaxStale, max(defaultMaxStale, c.RefreshEvery))
	setDefault(&c.HTTPTimeout, defaultHTTPTimeout)
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf("oidc: "+format, args...)) }
	if err := checkIssuer(c.Issuer, c.AllowInsecureIssuer); err != nil {
		add("Issuer: %w", err)
	}
	if c.Audience == "" {
		add("Audience is empty: name this service as the issuer knows it, or tokens for other services would be accepted")
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(supportedAlgorithms, alg) {
			add("Algorithms: %q is not one of %s", alg, strings.Join(supportedAlgorithms, ", "))
		}
	}
	if slices.Contains(c.RolesClaim, "") {
		add("RolesClaim has an empty element")
	}
	if c.ClockSkew > MaxClockSkew {
		add("ClockSkew is %v, allowed is up to %v", c.ClockSkew, MaxClockSkew)
	}
	if c.MaxTokenBytes < 0 || c.MaxTokenBytes > maxTokenBytes {
		add("MaxTokenBytes is %d, allowed is 1 to %d", c.MaxTokenBytes, maxTokenBytes)
	}
	for name, d := range map[string]time.Duration{
		"MaxLifetime": c.MaxLifetime, "RefreshEvery": c.RefreshEvery, "Cooldown": c.Cooldown,
		"MaxStale": c.MaxStale, "HTTPTimeout": c.HTTPTimeout,
	} {
		if d < 0 {
			add("%s is negative", name)
		}
	}
	if c.MaxStale < c.RefreshEvery {
		add("MaxStale (%v) is shorter than RefreshEvery (%v)", c.MaxStale, c.RefreshEvery)
	}
	if c.JWKSURL != "" {
		if u, err := url.Parse(c.JWKSURL); err != nil {
			add("JWKSURL: %w", err)
		} else if err := checkScheme(u, c.AllowInsecureIssuer); err != nil {
			add("JWKSURL: %w", err)
		}
	}
	if err := checkClient(c.HTTPClient); err != nil {
		add("HTTPClient: %w", err)
	}
	return errors.Join(problems...)
}

func checkIssuer(issuer string, insecure bool) error {
	if issuer == "" {
		return errors.New("it is empty: give the issuer's URL, exactly as its tokens' iss claim has it")
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	if u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return errors.New("it has a query or a fragment")
	}
	return checkScheme(u, insecure)
}
