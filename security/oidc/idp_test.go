package oidc_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security/oidc"
)

const audience = "shop"

// Keys are made once: RSA ones take a while.
var (
	rsaKey  = sync.OnceValue(func() *rsa.PrivateKey { return generated(rsa.GenerateKey(rand.Reader, 2048)) })
	rsaKey2 = sync.OnceValue(func() *rsa.PrivateKey { return generated(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey   = sync.OnceValue(func() *ecdsa.PrivateKey { return generated(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey   = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return generated(k, err)
	})
)

func generated[K any](k K, err error) K {
	if err != nil {
		panic(err)
	}
	return k
}

// idp is an issuer whose every answer can be bent. It counts what it is asked.
type idp struct {
	*httptest.Server
	discoveries, fetches atomic.Int64

	mu       sync.Mutex
	keys     []any // jose.JSONWebKey, or raw JSON for those it would not write
	keysHook http.HandlerFunc
	document map[string]any // overrides
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	p := &idp{}
	p.publish(
		jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "r1", Algorithm: "RS256", Use: "sig"},
		jose.JSONWebKey{Key: ecKey().Public(), KeyID: "e1", Algorithm: "ES256", Use: "sig"},
		jose.JSONWebKey{Key: edKey().Public(), KeyID: "d1", Algorithm: "EdDSA", Use: "sig"},
	)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.discoveries.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		d := map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "token_endpoint": p.URL + "/token"}
		maps.Copy(d, p.document)
		_ = json.NewEncoder(w).Encode(d)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		hook, body := p.keysHook, map[string]any{"keys": p.keys}
		p.mu.Unlock()
		if hook != nil {
			hook(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(body)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) publish(keys ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// answer bends the key endpoint; nil straightens it.
func (p *idp) answer(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keysHook = h
}

func (p *idp) discovery(overrides map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document = overrides
}

func (p *idp) config() oidc.Config {
	return oidc.Config{Issuer: p.URL, Audience: audience, AllowInsecureIssuer: true}
}

// claims are those of a good token, changed by change: a nil value removes a claim.
func (p *idp) claims(change map[string]any) map[string]any {
	now := time.Now().Unix()
	c := map[string]any{
		"iss": p.URL, "aud": audience, "sub": "alice", "iat": now, "exp": now + 300, "jti": "1", "roles": []string{"customer"},
	}
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

// token signs a good token with r1, changed by change.
func (p *idp) token(change map[string]any) string {
	return rs256(`{"alg":"RS256","kid":"r1","typ":"at+jwt"}`, marshal(p.claims(change)))
}

func marshal(v any) string { return string(generated(json.Marshal(v))) }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func signing(header, payload string) string { return b64([]byte(header)) + "." + b64([]byte(payload)) }

func rs256(header, payload string) string { return rs256With(rsaKey(), header, payload) }

func rs256With(k *rsa.PrivateKey, header, payload string) string {
	return withRS256(k, signing(header, payload))
}

// withRS256 signs any text, also one that is no proper header and payload.
func withRS256(k *rsa.PrivateKey, signed string) string {
	sum := sha256.Sum256([]byte(signed))
	return signed + "." + b64(generated(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])))
}

func es256(header, payload string) string {
	s := signing(header, payload)
	sum := sha256.Sum256([]byte(s))
	r, sv, err := ecdsa.Sign(rand.Reader, ecKey(), sum[:])
	generated(r, err)
	return s + "." + b64(append(r.FillBytes(make([]byte, 32)), sv.FillBytes(make([]byte, 32))...))
}

func eddsa(header, payload string) string {
	s := signing(header, payload)
	return s + "." + b64(ed25519.Sign(edKey(), []byte(s)))
}

// reasons collects what the hooks report.
type reasons struct {
	mu        sync.Mutex
	last      oidc.Reason
	refreshes []oidc.Refresh
}

func newVerifier(t testing.TB, cfg oidc.Config) (*oidc.Verifier, *reasons) {
	t.Helper()
	seen := &reasons{}
	cfg.Hooks = seen.hooks()
	v, err := oidc.New(cfg)
	require.NoError(t, err)
	return v, seen
}

func (s *reasons) get() oidc.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *reasons) lastRefresh(t *testing.T) oidc.Refresh {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NotEmpty(t, s.refreshes)
	return s.refreshes[len(s.refreshes)-1]
}

func drip(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"keys":[`)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func huge(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"keys":[],"x":"`)
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = 'x'
	}
	for range 1600 { // 100 MB, if somebody reads it all
		if _, err := w.Write(block); err != nil {
			return
		}
	}
	_, _ = fmt.Fprint(w, `"}`)
}

func (s *reasons) hooks() oidc.Hooks {
	return oidc.Hooks{
		OnVerify: func(_ context.Context, r oidc.Reason) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.last = r
		},
		OnRefresh: func(_ context.Context, r oidc.Refresh) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refreshes = append(s.refreshes, r)
		},
	}
}
