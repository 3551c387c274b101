package oidc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
)

// No text that was not signed is ever accepted, and each is refused with the one error.
func FuzzToken(f *testing.F) {
	p := newIDP(f)
	v, _ := newVerifier(f, p.config())
	good := p.token(nil)
	require.NoError(f, v.Ready(f.Context()))
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(good[:len(good)-2])
	f.Add("e30.e30.AA")
	f.Add(signing(`{"alg":"none"}`, `{}`) + ".")
	f.Fuzz(func(t *testing.T, raw string) {
		if raw == good {
			t.Skip()
		}
		_, err := v.Verify(t.Context(), raw)
		require.Equal(t, security.ErrInvalidToken, err)
	})
}

// Even the holder of the key cannot have a header accepted that a plain JSON reader understands otherwise.
func FuzzHeader(f *testing.F) {
	p := newIDP(f)
	v, _ := newVerifier(f, p.config())
	require.NoError(f, v.Ready(f.Context()))
	body := marshal(p.claims(map[string]any{"exp": 4102444800, "iat": nil}))
	cfg := p.config()
	cfg.MaxLifetime = 100 * 365 * 24 * 3600 * 1e9
	v, _ = newVerifier(f, cfg)
	require.NoError(f, v.Ready(f.Context()))
	f.Add(goodHeader)
	f.Add(`{"alg":"none","alg":"RS256","kid":"r1","typ":"at+jwt"}`)
	f.Add(`{"ALG":"none","alg":"RS256","kid":"r1","typ":"JWT","crit":[]}`)
	f.Add("{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\",\"\u212aid\":1}")
	f.Fuzz(func(t *testing.T, header string) {
		_, err := v.Verify(t.Context(), rs256(header, body))
		if err != nil {
			require.Equal(t, security.ErrInvalidToken, err)
			return
		}
		var h struct {
			Alg  string          `json:"alg"`
			Kid  string          `json:"kid"`
			Typ  string          `json:"typ"`
			Crit json.RawMessage `json:"crit"`
		}
		require.NoError(t, json.Unmarshal([]byte(header), &h))
		require.Equal(t, "RS256", h.Alg)
		require.Equal(t, "r1", h.Kid)
		require.Nil(t, h.Crit)
	})
}
