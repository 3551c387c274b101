package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/marty-framework/mmf/security"
)

const (
	defaultRefreshBefore = 30 * time.Second
	// unknownLifetime is for how long a token is used whose issuer did not tell.
	unknownLifetime = time.Minute
	tokenCooldown   = time.Second
)

// ClientCredentialsConfig says as whom a service calls others. ClientID, ClientSecret and one of Issuer and TokenURL are
// required; the zero value of every other field is the documented default.
type ClientCredentialsConfig struct {
	// Issuer whose discovery document names the token endpoint.
	Issuer string
	// TokenURL is the token endpoint. Default: found by discovery.
	TokenURL string
	// ClientID is this service's name at the issuer. Required.
	ClientID string
	// ClientSecret gives the secret; it is asked at every fetch, so a rotated secret is used from the next one on. A func,
	// so that a configuration that is printed shows none. Required.
	ClientSecret func() string
	// SecretInBody sends the secret as a form value (client_secret_post). Default: HTTP Basic, as RFC 6749 prefers.
	SecretInBody bool
	// Scopes to ask for. Default: those the issuer gives unasked.
	Scopes []string
	// Audience is sent as the parameter "audience", which several issuers want. Default: not sent.
	Audience string
	// RefreshBefore is how long before its end a token is replaced. Default: 30 s, or a fifth of the token's lifetime when
	// that is less.
	RefreshBefore time.Duration
	// AllowInsecureIssuer, KeyHosts, HTTPTimeout and HTTPClient are as in [Config]; KeyHosts are the hosts other than the
	// issuer's own that the discovery document may name.
	AllowInsecureIssuer bool
	KeyHosts            []string
	HTTPTimeout         time.Duration
	HTTPClient          *http.Client
	// OnFetch is called after every attempt to get a token. Optional.
	OnFetch func(ctx context.Context, err error)
}

func (c ClientCredentialsConfig) validate() error {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("oidc: client credentials: "+format, args...))
	}
	switch {
	case c.TokenURL == "":
		if err := checkIssuer(c.Issuer, c.AllowInsecureIssuer); err != nil {
			add("Issuer: %w", err)
		}
	default:
		if u, err := url.Parse(c.TokenURL); err != nil {
			add("TokenURL: %w", err)
		} else if err := checkScheme(u, c.AllowInsecureIssuer); err != nil {
			add("TokenURL: %w", err)
		}
	}
	if c.ClientID == "" {
		add("ClientID is empty")
	}
	if c.ClientSecret == nil {
		add("ClientSecret is nil")
	}
	if c.RefreshBefore < 0 || c.HTTPTimeout < 0 {
		add("RefreshBefore or HTTPTimeout is negative")
	}
	if err := checkClient(c.HTTPClient); err != nil {
		add("HTTPClient: %w", err)
	}
	return errors.Join(problems...)
}

// TokenSource gets tokens with the client credentials grant and keeps the current one. It is safe for concurrent use.
type TokenSource struct {
	cfg    ClientCredentialsConfig
	client *http.Client

	mu       sync.Mutex
	token    *security.Token // by reference, so that printing the source does not print it; nil before the first
	renewAt  time.Time
	tokenURL string
	failed   time.Time // end of the last failed fetch
	lastErr  error
	inflight chan struct{} // closed at the end of the fetch under way; nil when there is none
}

var _ security.TokenSource = (*TokenSource)(nil)

// ClientCredentials makes a token source for the calls of a service that acts for itself. It reaches out to nobody until
// the first token is asked for. The error joins every problem of cfg.
func ClientCredentials(cfg ClientCredentialsConfig) (*TokenSource, error) {
	setDefault(&cfg.HTTPTimeout, defaultHTTPTimeout)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.Scopes, cfg.KeyHosts = slices.Clone(cfg.Scopes), slices.Clone(cfg.KeyHosts)
	return &TokenSource{cfg: cfg, client: newClient(cfg.HTTPClient, cfg.HTTPTimeout), tokenURL: cfg.TokenURL}, nil
}

// Token returns a token that is good for a while. One call at a time fetches; while the old token is still good the
// others go on with it, else they wait. A failed fetch is repeated after a second at the earliest. The error matches
// [security.ErrUnavailable], or is ctx's own.
func (s *TokenSource) Token(ctx context.Context) (security.Token, error) {
	for {
		s.mu.Lock()
		now := time.Now()
		good := s.token != nil && now.Before(s.token.Expires)
		switch {
		case good && (now.Before(s.renewAt) || s.inflight != nil || s.coolingLocked(now)):
			t := *s.token
			s.mu.Unlock()
			return t, nil
		case s.inflight != nil:
			under := s.inflight
			s.mu.Unlock()
			select {
			case <-under:
				continue
			case <-ctx.Done():
				return security.Token{}, ctx.Err()
			}
		case s.coolingLocked(now):
			err := s.lastErr
			s.mu.Unlock()
			return security.Token{}, err
		}
		done := make(chan struct{})
		s.inflight = done
		s.mu.Unlock()
		t, err := s.renew(ctx, done)
		if err != nil && good && ctx.Err() == nil {
			continue // with the old token, if it is still good
		}
		return t, err
	}
}

func (s *TokenSource) coolingLocked(now time.Time) bool {
	return s.lastErr != nil && now.Sub(s.failed) < tokenCooldown
}

func (s *TokenSource) renew(ctx context.Context, done chan struct{}) (t security.Token, err error) {
	err = errors.New("oidc: the fetch panicked")
	defer func() {
		s.mu.Lock()
		switch {
		case err == nil:
			s.token, s.lastErr, s.renewAt = &t, nil, s.renewTime(t)
		case ctx.Err() == nil:
			// A caller who gave up says nothing about the issuer; the next one tries at once.
			s.failed, s.lastErr = time.Now(), err
		}
		s.inflight = nil
		s.mu.Unlock()
		close(done)
		if s.cfg.OnFetch != nil {
			s.cfg.OnFetch(ctx, err)
		}
	}()
	fetching, cancel := context.WithTimeout(ctx, s.cfg.HTTPTimeout)
	defer cancel()
	t, err = s.fetch(fetching)
	if err != nil && ctx.Err() != nil {
		return security.Token{}, ctx.Err()
	}
	return t, err
}

func (s *TokenSource) renewTime(t security.Token) time.Time {
	now := time.Now()
	before := s.cfg.RefreshBefore
	if before == 0 {
		before = min(defaultRefreshBefore, t.Expires.Sub(now)/5)
	}
	return t.Expires.Add(-before)
}

func (s *TokenSource) fetch(ctx context.Context) (security.Token, error) {
	s.mu.Lock()
	tokenURL := s.tokenURL
	s.mu.Unlock()
	if tokenURL == "" {
		d, err := discover(ctx, s.client, s.cfg.Issuer, s.cfg.KeyHosts, s.cfg.AllowInsecureIssuer)
		if err != nil {
			return security.Token{}, unavailable(err)
		}
		if tokenURL = d.TokenEndpoint; tokenURL == "" {
			return security.Token{}, unavailable(errors.New("the discovery document names no token_endpoint; set TokenURL"))
		}
		s.mu.Lock()
		s.tokenURL = tokenURL
		s.mu.Unlock()
	}
	request := clientcredentials.Config{
		ClientID: s.cfg.ClientID, ClientSecret: s.cfg.ClientSecret(), TokenURL: tokenURL, Scopes: s.cfg.Scopes,
		AuthStyle: oauth2.AuthStyleInHeader,
	}
	if s.cfg.SecretInBody {
		request.AuthStyle = oauth2.AuthStyleInParams
	}
	if s.cfg.Audience != "" {
		request.EndpointParams = url.Values{"audience": {s.cfg.Audience}}
	}
	began := time.Now()
	got, err := request.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	if err != nil {
		return security.Token{}, unavailable(plainError(err))
	}
	if got.Type() != "Bearer" {
		return security.Token{}, unavailable(fmt.Errorf("the token's type is %.20q, not Bearer", got.Type()))
	}
	t := security.Token{Value: got.AccessToken, Expires: got.Expiry}
	if t.Expires.IsZero() {
		t.Expires = began.Add(unknownLifetime)
	}
	return t, nil
}

// plainError leaves out the answer's body, which the library quotes: an issuer may echo what it was sent.
func plainError(err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return err
	}
	status := "no answer"
	if refused.Response != nil {
		status = refused.Response.Status
	}
	return fmt.Errorf("the token endpoint answers %s, error %.60q", status, refused.ErrorCode)
}

func unavailable(err error) error {
	return fmt.Errorf("oidc: get a token with client credentials: %w", errors.Join(security.ErrUnavailable, err))
}
