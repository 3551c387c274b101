package issuer

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Lifetimes of tokens.
const (
	UserLifetime    = time.Hour
	ServiceLifetime = 10 * time.Minute
)

// RoleService is the role of the shop's own services.
const RoleService = "service"

// webClient is the client that users' tokens are made out to. No user has this name, so no user looks like a service.
const webClient = "petstore-web"

// Refusals, as OAuth names them.
var (
	ErrClient = errors.New("invalid_client")
	ErrUser   = errors.New("invalid_grant")
)

// Config says who gets which token. All fields are required.
type Config struct {
	// URL is the issuer's own: the iss claim, and the front of its endpoints.
	URL string
	// Audience is the aud claim.
	Audience string
	// Users are the people and their roles.
	Users map[string][]string
	// Clients are the names of services; they share Secret.
	Clients []string
	Secret  func() string
}

func (c Config) validate() error {
	var errs []error
	if c.URL == "" || c.Audience == "" {
		errs = append(errs, errors.New("issuer: URL and Audience are required"))
	}
	if c.Secret == nil || c.Secret() == "" {
		errs = append(errs, errors.New("issuer: the services' secret is empty: set auth.client_secret"))
	}
	for _, client := range append([]string{webClient}, c.Clients...) {
		if _, both := c.Users[client]; both {
			errs = append(errs, fmt.Errorf("issuer: %q is a user and a service: the user would count as a service", client))
		}
	}
	return errors.Join(errs...)
}

// Issuer makes tokens. Safe for concurrent use.
type Issuer struct {
	cfg  Config
	keys *Keys
}

// New makes an issuer that signs with keys.
func New(cfg Config, keys *Keys) (*Issuer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Users, cfg.Clients = maps.Clone(cfg.Users), slices.Clone(cfg.Clients)
	return &Issuer{cfg: cfg, keys: keys}, nil
}

// Token is an access token as the token endpoint gives it.
type Token struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// ForUser makes a token for one of the named users. The error matches [ErrUser].
func (i *Issuer) ForUser(name string) (Token, error) {
	roles, ok := i.cfg.Users[name]
	if !ok {
		return Token{}, fmt.Errorf("%w: there is no user %q; users are %v", ErrUser, name, slices.Sorted(maps.Keys(i.cfg.Users)))
	}
	return i.sign(name, webClient, roles, UserLifetime)
}

// ForService makes a token for a service that proves who it is. The error matches [ErrClient].
func (i *Issuer) ForService(client, secret string) (Token, error) {
	// Hashes, so that the comparison takes as long whatever the length.
	given, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(i.cfg.Secret()))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 || !slices.Contains(i.cfg.Clients, client) {
		return Token{}, fmt.Errorf("%w: no service has this name and secret", ErrClient)
	}
	return i.sign(client, client, []string{RoleService}, ServiceLifetime)
}

// sign makes an access token after RFC 9068.
func (i *Issuer) sign(subject, client string, roles []string, lifetime time.Duration) (Token, error) {
	now := time.Now()
	private, id := i.keys.signer()
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": i.cfg.URL, "aud": i.cfg.Audience, "sub": subject, "client_id": client, "roles": roles,
		"iat": now.Unix(), "exp": now.Add(lifetime).Unix(), "jti": rand.Text(),
	})
	t.Header["typ"], t.Header["kid"] = "at+jwt", id
	signed, err := t.SignedString(private)
	if err != nil {
		return Token{}, fmt.Errorf("issuer: sign: %w", err)
	}
	return Token{AccessToken: signed, TokenType: "Bearer", ExpiresIn: int(lifetime / time.Second)}, nil
}
