package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/oidc"
)

const virtualIssuer = "https://id.example.com/realms/shop"

// virtualIDP answers without a network, so that it can live in a synctest bubble.
type virtualIDP struct {
	keys    atomic.Pointer[[]any]
	down    atomic.Bool
	latency time.Duration
	fetches atomic.Int64
}

func (p *virtualIDP) publish(keys ...any) { p.keys.Store(&keys) }

func (p *virtualIDP) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.latency > 0 {
		select {
		case <-time.After(p.latency):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	w := httptest.NewRecorder()
	switch {
	case p.down.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.String() == virtualIssuer+"/.well-known/openid-configuration":
		_, _ = w.WriteString(marshal(map[string]any{"issuer": virtualIssuer, "jwks_uri": "https://id.example.com/keys"}))
	case r.URL.String() == "https://id.example.com/keys":
		_, _ = w.WriteString(marshal(map[string]any{"keys": p.keys.Load()}))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	if r.URL.Path == "/keys" || p.down.Load() {
		p.fetches.Add(1)
	}
	return w.Result(), nil
}

func (p *virtualIDP) verifier(t *testing.T, change func(*oidc.Config)) *oidc.Verifier {
	t.Helper()
	if p.keys.Load() == nil {
		p.publish(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "r1", Algorithm: "RS256"})
	}
	cfg := oidc.Config{Issuer: virtualIssuer, Audience: audience, HTTPClient: &http.Client{Transport: p}}
	if change != nil {
		change(&cfg)
	}
	v, err := oidc.New(cfg)
	require.NoError(t, err)
	return v
}

func virtualToken(kid string) string { return virtualTokenFor(kid, 5*time.Minute) }

func virtualTokenFor(kid string, lifetime time.Duration) string {
	now, end := time.Now().Unix(), time.Now().Add(lifetime).Unix()
	body := marshal(map[string]any{"iss": virtualIssuer, "aud": audience, "sub": "alice", "iat": now, "exp": end})
	key := rsaKey()
	if kid == "r2" {
		key = rsaKey2()
	}
	return rs256With(key, `{"alg":"RS256","typ":"at+jwt","kid":"`+kid+`"}`, body)
}

// F-JWK-2: without the issuer the keys are used for MaxStale and not a moment longer.
func TestKeysAreUsedUpToMaxStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{}
		v := p.verifier(t, nil)
		_, err := v.Verify(t.Context(), virtualToken("r1"))
		require.NoError(t, err)
		p.down.Store(true)
		time.Sleep(24*time.Hour - time.Second)
		_, err = v.Verify(t.Context(), virtualToken("r1"))
		require.NoError(t, err)
		age, ok := v.KeysAge()
		require.True(t, ok)
		require.Equal(t, 24*time.Hour-time.Second, age)
		time.Sleep(time.Second)
		_, err = v.Verify(t.Context(), virtualToken("r1"))
		require.ErrorIs(t, err, security.ErrUnavailable)
		require.ErrorIs(t, v.Ready(t.Context()), security.ErrUnavailable)
		p.down.Store(false)
		time.Sleep(10 * time.Second)
		_, err = v.Verify(t.Context(), virtualToken("r1"))
		require.NoError(t, err)
	})
}

// F-JWK-3: a new key is accepted at once by one forced fetch, without a refusal in between; a withdrawn key is refused
// once the keys came of age. Right after the start is the hardest time: the first load must not use up the cool-down.
func TestRotationWithoutDowntime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{}
		v := p.verifier(t, nil)
		accepted := func(kid string) error {
			_, err := v.Verify(t.Context(), virtualToken(kid))
			return err
		}
		require.NoError(t, accepted("r1"))
		p.publish(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "r1", Algorithm: "RS256"}, r2JWK())
		require.NoError(t, accepted("r2"))
		require.NoError(t, accepted("r1"))
		require.EqualValues(t, 2, p.fetches.Load())

		p.publish(r2JWK())
		time.Sleep(5*time.Minute - time.Nanosecond)
		require.NoError(t, accepted("r1"), "known until the keys come of age")
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, accepted("r1"), security.ErrInvalidToken)
		require.NoError(t, accepted("r2"))
		require.EqualValues(t, 3, p.fetches.Load(), "the fetch by age was new enough for the unknown key")
	})
}

// F-JWK-4: however many unknown key ids arrive at once, they cause one fetch, and good tokens go through.
func TestUnknownKeyFloodCostsOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{latency: 100 * time.Millisecond}
		v := p.verifier(t, nil)
		require.NoError(t, v.Ready(t.Context()))
		good := virtualToken("r1")
		var wg sync.WaitGroup
		for i := range 200 {
			forged := virtualToken(fmt.Sprint("x", i))
			wg.Go(func() {
				_, err := v.Verify(t.Context(), forged)
				require.ErrorIs(t, err, security.ErrInvalidToken)
			})
			wg.Go(func() {
				asked := time.Now()
				_, err := v.Verify(t.Context(), good)
				require.NoError(t, err)
				require.Zero(t, time.Since(asked))
			})
		}
		wg.Wait()
		require.EqualValues(t, 2, p.fetches.Load(), "the first load and one forced fetch")
	})
}

// F-JWK-4 over time: one forced fetch per cool-down in total, whether the issuer answers or not.
func TestFloodOverTime(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprint("down ", down), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &virtualIDP{}
				v := p.verifier(t, nil)
				require.NoError(t, v.Ready(t.Context()))
				p.down.Store(down)
				good := virtualToken("r1")
				before := p.fetches.Load()
				for i := range 600 { // ten a second for a minute
					_, err := v.Verify(t.Context(), virtualToken(fmt.Sprint("x", i)))
					require.ErrorIs(t, err, security.ErrInvalidToken)
					_, err = v.Verify(t.Context(), good)
					require.NoError(t, err)
					time.Sleep(100 * time.Millisecond)
				}
				require.EqualValues(t, 6, p.fetches.Load()-before)
				p.down.Store(false)
				p.publish(jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "r2"})
				time.Sleep(10 * time.Second)
				_, err := v.Verify(t.Context(), virtualToken("r2"))
				require.NoError(t, err, "the flood did not keep the new key out for longer than a cool-down")
			})
		})
	}
}

// Run fetches as the keys come of age, so callers need not; and it ends with its context.
func TestRunKeepsKeysFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{latency: time.Second}
		v := p.verifier(t, func(c *oidc.Config) { c.RefreshEvery = time.Minute })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		require.InDelta(t, 11, p.fetches.Load(), 1)
		began := time.Now()
		_, err := v.Verify(t.Context(), virtualToken("r1"))
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "the caller did not wait for a fetch")

		p.down.Store(true)
		before, steady := p.fetches.Load(), virtualTokenFor("r1", time.Hour)
		for range 600 {
			asked := time.Now()
			_, err := v.Verify(t.Context(), steady)
			require.NoError(t, err)
			require.Zero(t, time.Since(asked), "callers leave old keys to Run")
			time.Sleep(time.Second)
		}
		require.InDelta(t, 54, p.fetches.Load()-before, 6, "one attempt per cool-down, each a second long")
		p.down.Store(false)
		p.publish(jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "r2"})
		time.Sleep(13 * time.Second)
		_, err = v.Verify(t.Context(), virtualToken("r2"))
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), virtualToken("r1"))
		require.ErrorIs(t, err, security.ErrInvalidToken, "the withdrawn key is refused")
		cancel()
		require.NoError(t, <-ended)
	})
}

// Callers leave old keys to Run, also when it is late.
func TestCallersDoNotFetchForRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{}
		v := p.verifier(t, func(c *oidc.Config) {
			c.Hooks.OnRefresh = func(context.Context, oidc.Refresh) { time.Sleep(time.Hour) } // Run is held up here
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		time.Sleep(30 * time.Minute)
		_, err := v.Verify(t.Context(), virtualToken("r1"))
		require.NoError(t, err)
		require.EqualValues(t, 1, p.fetches.Load())
		cancel()
		require.NoError(t, <-ended)
	})
}

// Calls that arrive during a fetch wait for it, but not for long.
func TestWaitForAnotherCallsFetchIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &virtualIDP{latency: time.Hour}
		v := p.verifier(t, nil)
		first := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			_, err := v.Verify(t.Context(), virtualToken("r1"))
			assert.ErrorIs(t, err, security.ErrUnavailable)
			first <- time.Since(began)
		}()
		synctest.Wait()
		_, err := v.Verify(t.Context(), virtualToken("r1"))
		require.ErrorIs(t, err, security.ErrUnavailable)
		require.Equal(t, time.Second, time.Since(began))
		require.Equal(t, 5*time.Second, <-first)
	})
}
