package oidc_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
)

func r2Token(p *idp) string {
	return rs256With(rsaKey2(), `{"alg":"RS256","kid":"r2","typ":"at+jwt"}`, marshal(p.claims(nil)))
}

func r2JWK() jose.JSONWebKey {
	return jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "r2", Algorithm: "RS256", Use: "sig"}
}

// F-JWK-1: without keys nothing is decided, and nobody gets in.
func TestStartsWithoutKeys(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	p.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	cfg := p.config()
	cfg.Cooldown = time.Millisecond
	v, seen := newVerifier(t, cfg)
	_, ok := v.KeysAge()
	require.False(t, ok)
	require.ErrorIs(t, v.Ready(t.Context()), security.ErrUnavailable)
	_, err := v.Verify(t.Context(), p.token(nil))
	require.ErrorIs(t, err, security.ErrUnavailable)
	require.NotErrorIs(t, err, security.ErrInvalidToken)
	require.Equal(t, oidc.ReasonUnavailable, seen.get())

	p.answer(nil)
	require.Eventually(t, func() bool { return v.Ready(t.Context()) == nil }, 5*time.Second, time.Millisecond)
	_, err = v.Verify(t.Context(), p.token(nil))
	require.NoError(t, err)
}

// A client that hangs up at once must not use up the cool-down on fetches that it aborts.
func TestCancelledCallDoesNotAbortTheFetch(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	v, _ := newVerifier(t, p.config())
	_, err := v.Verify(t.Context(), p.token(nil))
	require.NoError(t, err)
	p.publish(r2JWK())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = v.Verify(gone, r2Token(p))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), r2Token(p))
	require.NoError(t, err)
}

// F-JWK-5: whatever the issuer answers, the last good keys stay in use and the attempt is reported as failed.
func TestBadAnswersKeepTheLastGoodKeys(t *testing.T) {
	t.Parallel()
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(marshal(map[string]any{"keys": []any{r2JWK()}})))
	}))
	t.Cleanup(foreign.Close)
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	for name, answer := range map[string]http.HandlerFunc{
		"error":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"not JSON":    text("<html>"),
		"no keys":     text(`{}`),
		"empty set":   text(`{"keys":[]}`),
		"only oct":    text(`{"keys":[{"kty":"oct","kid":"r2","k":"c2VjcmV0"}]}`),
		"100 MB":      huge,
		"slow":        drip,
		"other host":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, foreign.URL, http.StatusFound) },
		"endless":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) },
		"hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"only others": text(`{"keys":[{"kty":"EC","crv":"P-256K","kid":"r2","x":"AA","y":"AA"}]}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			cfg := p.config()
			if name == "slow" {
				cfg.HTTPTimeout = 2 * time.Second
			} else {
				cfg.HTTPTimeout = time.Minute
			}
			v, seen := newVerifier(t, cfg)
			good := p.token(nil)
			_, err := v.Verify(t.Context(), good)
			require.NoError(t, err)
			p.answer(answer)
			_, err = v.Verify(t.Context(), r2Token(p))
			require.ErrorIs(t, err, security.ErrInvalidToken)
			report := seen.lastRefresh(t)
			require.Error(t, report.Err)
			require.Equal(t, 2, report.Keys, "r1 and e1 are still there")
			_, err = v.Verify(t.Context(), good)
			require.NoError(t, err)
		})
	}
}

// F-JWK-5 and J-19: bad keys are skipped one by one, with the reason.
func TestBadKeysAreSkipped(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	// The standard library no longer makes keys this small, so they are put together by hand.
	oddModulus := func(bits uint) *big.Int {
		n := generated(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits-1)))
		return n.SetBit(n.SetBit(n, int(bits)-1, 1), 0, 1)
	}
	rsaJWK := func(kid string, n *big.Int, e int64) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, kid, b64(n.Bytes()), b64(big.NewInt(e).Bytes())))
	}
	roca := big.NewInt(1)
	for roca.BitLen() < 2047 {
		roca.Mul(roca, big.NewInt(65537))
	}
	n := rsaKey2().N
	offCurve := json.RawMessage(fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"off","x":%q,"y":%q}`,
		b64(pad32(elliptic.P256().Params().Gx.Bytes())), b64(make([]byte, 32))))
	p.publish(
		jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "r1"}, // no alg: it is bound to RS256
		rsaJWK("rsa512", oddModulus(512), 65537), rsaJWK("rsa1024", oddModulus(1024), 65537),
		rsaJWK("e1", n, 1), rsaJWK("e3", n, 3), rsaJWK("roca", roca, 65537), rsaJWK("rsa16k", oddModulus(16384), 65537), offCurve,
		json.RawMessage(`{"kty":"oct","kid":"oct","k":"c2VjcmV0"}`),
		jose.JSONWebKey{Key: rsaKey2(), KeyID: "private"},
		jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "enc", Use: "enc"},
		json.RawMessage(`{"kty":"RSA","kid":"ops","key_ops":["encrypt"],"e":"AQAB","n":"`+b64(n.Bytes())+`"}`),
		jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "misfit", Algorithm: "ES256"},
		jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "ps", Algorithm: "PS256"},
		jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "twice"}, jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "twice"},
		json.RawMessage(`7`),
	)
	v, seen := newVerifier(t, p.config())
	require.NoError(t, v.Ready(t.Context()))
	report := seen.lastRefresh(t)
	require.Equal(t, 1, report.Keys)
	require.Len(t, report.Skipped, 15)
	for _, kid := range []string{"twice", "enc", "ops", "misfit", "private", "e3", "e1"} {
		_, err := v.Verify(t.Context(), rs256With(rsaKey2(), `{"alg":"RS256","typ":"at+jwt","kid":"`+kid+`"}`, marshal(p.claims(nil))))
		require.ErrorIs(t, err, security.ErrInvalidToken, kid)
		require.Equal(t, oidc.ReasonUnknownKey, seen.get(), kid)
	}
	_, err := v.Verify(t.Context(), p.token(nil))
	require.NoError(t, err)
	// With a single key a token needs no key id.
	_, err = v.Verify(t.Context(), rs256(`{"alg":"RS256","typ":"at+jwt"}`, marshal(p.claims(nil))))
	require.NoError(t, err)
}

// S-SSRF-1: the discovery document may not send us elsewhere.
func TestDiscoveryIsChecked(t *testing.T) {
	t.Parallel()
	hits := atomic.Int64{}
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(canary.Close)
	for name, overrides := range map[string]map[string]any{
		"other issuer":    {"issuer": "https://evil.example"},
		"trailing slash":  {"issuer": "/"}, // completed below
		"other host":      {"jwks_uri": canary.URL + "/keys"},
		"metadata":        {"jwks_uri": "http://169.254.169.254/latest"},
		"file":            {"jwks_uri": "file:///etc/passwd"},
		"user info":       {"jwks_uri": "https://a:b@example.com/keys"},
		"none":            {"jwks_uri": ""},
		"token elsewhere": {"token_endpoint": canary.URL + "/token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			if overrides["issuer"] == "/" {
				overrides["issuer"] = p.URL + "/"
			}
			p.discovery(overrides)
			v, seen := newVerifier(t, p.config())
			require.ErrorIs(t, v.Ready(t.Context()), security.ErrUnavailable)
			require.Error(t, seen.lastRefresh(t).Err)
			require.Zero(t, p.fetches.Load())
		})
	}
	t.Cleanup(func() { require.Zero(t, hits.Load()) })
}

func TestKeyHostsAllowAnotherHost(t *testing.T) {
	t.Parallel()
	p, q := newIDP(t), newIDP(t)
	p.discovery(map[string]any{"jwks_uri": q.URL + "/keys"})
	cfg := p.config()
	cfg.KeyHosts = []string{q.Listener.Addr().String()}
	v, _ := newVerifier(t, cfg)
	require.NoError(t, v.Ready(t.Context()))
	require.EqualValues(t, 1, q.fetches.Load())
}
