package oidc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
)

// tokenEndpoint gives numbered tokens without a network, so that it can live in a synctest bubble.
type tokenEndpoint struct {
	latency  time.Duration
	lifetime int
	status   atomic.Int64
	calls    atomic.Int64
	last     atomic.Pointer[http.Request]
}

func (e *tokenEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(e.latency):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	e.last.Store(r)
	n := e.calls.Add(1)
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if s := e.status.Load(); s != 0 {
		w.WriteHeader(int(s))
		_, _ = w.WriteString(`{"error":"invalid_client","error_description":"you sent s3cret"}`)
		return w.Result(), nil
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"t%d","token_type":"bearer","expires_in":%d}`, n, e.lifetime)
	return w.Result(), nil
}

func (e *tokenEndpoint) source(t *testing.T, change func(*oidc.ClientCredentialsConfig)) *oidc.TokenSource {
	t.Helper()
	cfg := oidc.ClientCredentialsConfig{
		TokenURL: "https://id.example.com/token", ClientID: "order:1", ClientSecret: func() string { return "s3cret" },
		HTTPClient: &http.Client{Transport: e},
	}
	if change != nil {
		change(&cfg)
	}
	s, err := oidc.ClientCredentials(cfg)
	require.NoError(t, err)
	return s
}

func TestTokenIsCachedAndRenewedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &tokenEndpoint{lifetime: 300, latency: time.Second}
		s := e.source(t, nil)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				got, err := s.Token(t.Context())
				require.NoError(t, err)
				require.Equal(t, "t1", got.Value)
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, e.calls.Load(), "twenty calls share one fetch")

		time.Sleep(271 * time.Second) // 29 s before the end
		began := time.Now()
		for range 20 {
			wg.Go(func() {
				got, err := s.Token(t.Context())
				require.NoError(t, err)
				if time.Since(began) == 0 {
					require.Equal(t, "t1", got.Value, "the old token is good while another call renews it")
				} else {
					require.Equal(t, "t2", got.Value)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, e.calls.Load())
	})
}

func TestTokenSourceWhileTheIssuerFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &tokenEndpoint{lifetime: 300}
		var failures atomic.Int64
		s := e.source(t, func(c *oidc.ClientCredentialsConfig) {
			c.OnFetch = func(_ context.Context, err error) {
				if err != nil {
					failures.Add(1)
				}
			}
		})
		_, err := s.Token(t.Context())
		require.NoError(t, err)
		e.status.Store(http.StatusUnauthorized)
		time.Sleep(280 * time.Second)
		got, err := s.Token(t.Context())
		require.NoError(t, err)
		require.NotContains(t, fmt.Sprintf("%+v %#v", s, s), "t1\"")
		require.Equal(t, "t1", got.Value, "renewal failed, the old token is still good")

		time.Sleep(time.Minute)
		before := e.calls.Load()
		for range 50 {
			_, err = s.Token(t.Context())
			require.ErrorIs(t, err, security.ErrUnavailable)
			require.ErrorContains(t, err, "invalid_client")
			require.NotContains(t, err.Error(), "s3cret")
			time.Sleep(100 * time.Millisecond)
		}
		require.EqualValues(t, 5, e.calls.Load()-before, "one attempt a second")
		require.EqualValues(t, 6, failures.Load())
		e.status.Store(0)
		time.Sleep(time.Second)
		_, err = s.Token(t.Context())
		require.NoError(t, err)
	})
}

func TestTokenSourceHonoursItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &tokenEndpoint{lifetime: 300, latency: 3 * time.Second}
		s := e.source(t, nil)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Token(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = s.Token(t.Context())
		require.NoError(t, err, "a caller who gave up leaves no cool-down behind")
	})
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	e := &tokenEndpoint{lifetime: 300}
	_, err := e.source(t, func(c *oidc.ClientCredentialsConfig) {
		c.Scopes, c.Audience = []string{"a", "b"}, "shop"
	}).Token(t.Context())
	require.NoError(t, err)
	user, secret, ok := e.last.Load().BasicAuth()
	require.True(t, ok)
	require.Equal(t, "order%3A1", user, "RFC 6749 2.3.1: form-encoded before Basic")
	require.Equal(t, "s3cret", secret)
	require.Equal(t, url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}, "audience": {"shop"}}, form(t, e))

	_, err = e.source(t, func(c *oidc.ClientCredentialsConfig) { c.SecretInBody = true }).Token(t.Context())
	require.NoError(t, err)
	_, _, ok = e.last.Load().BasicAuth()
	require.False(t, ok)
	require.Equal(t, "s3cret", form(t, e).Get("client_secret"))
}

func form(t *testing.T, e *tokenEndpoint) url.Values {
	t.Helper()
	body, err := io.ReadAll(e.last.Load().Body)
	require.NoError(t, err)
	values, err := url.ParseQuery(string(body))
	require.NoError(t, err)
	return values
}

func TestClientCredentialsConfigProblems(t *testing.T) {
	t.Parallel()
	_, err := oidc.ClientCredentials(oidc.ClientCredentialsConfig{Issuer: "http://id.example.com"})
	for _, part := range []string{"Issuer", "ClientID", "ClientSecret"} {
		require.ErrorContains(t, err, part)
	}
}
