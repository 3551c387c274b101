// Package securityhttp sends a service's own access token with its HTTP calls to other services.
//
// The problem: a transport that adds a token to every request also adds it where a redirect leads, and hands it to
// strangers. [Transport] sends it to the origins it was made for and to nobody else.
//
// The smallest complete use:
//
//	t, err := securityhttp.NewTransport(source, http.DefaultTransport, "https://inventory.internal")
//	client := &http.Client{Transport: t, Timeout: 2 * time.Second}
//
// Failure semantics: when no token is to be had the request is not sent, and the error matches
// [security.ErrUnavailable]. A request to another origin is sent as it is, without a token.
//
// What it does not do: it does not retry, not even after a 401, and does not pass on a user's token; requests that have
// an Authorization header of their own keep it. Incoming requests are guarded by package service.
package securityhttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/marty-framework/mmf/security"
)

// Transport is an [http.RoundTripper] that adds a bearer token. It is safe for concurrent use.
type Transport struct {
	source  security.TokenSource
	base    http.RoundTripper
	origins map[string]struct{}
}

// NewTransport makes a transport over base (nil: [http.DefaultTransport]) that sends tokens of source to origins, which
// are written like "https://inventory.internal" or "http://127.0.0.1:8083" and compared without regard to case and to
// the scheme's usual port. At least one is needed. The error joins every problem.
func NewTransport(source security.TokenSource, base http.RoundTripper, origins ...string) (*Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	t := &Transport{source: source, base: base, origins: map[string]struct{}{}}
	var problems []error
	if source == nil {
		problems = append(problems, errors.New("securityhttp: the token source is nil"))
	}
	if len(origins) == 0 {
		problems = append(problems, errors.New("securityhttp: no origin to send tokens to"))
	}
	for _, o := range origins {
		u, err := url.Parse(o)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("securityhttp: origin %q: %w", o, err))
		case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.User != nil, u.Path != "", u.RawQuery != "", u.Fragment != "":
			problems = append(problems, fmt.Errorf("securityhttp: %q is no origin; write it like \"https://host:port\"", o))
		default:
			t.origins[origin(u)] = struct{}{}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return t, nil
}

// RoundTrip sends r, with a token if it goes to one of the origins and has no Authorization header.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ours := t.origins[origin(r.URL)]; !ours || len(r.Header.Values("Authorization")) > 0 {
		return t.base.RoundTrip(r)
	}
	token, err := t.source.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes the body also when it fails
		}
		return nil, fmt.Errorf("securityhttp: get a token for %s: %w", r.URL.Host, err)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token.Value)
	return t.base.RoundTrip(r)
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
