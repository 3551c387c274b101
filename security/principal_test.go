package security_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
)

func TestPrincipalInContext(t *testing.T) {
	t.Parallel()
	_, ok := security.PrincipalFrom(t.Context())
	require.False(t, ok)
	want := security.Principal{Issuer: "i", Subject: "s", Roles: []string{"r"}}
	ctx := security.WithPrincipal(t.Context(), want)
	got, ok := security.PrincipalFrom(ctx)
	require.True(t, ok)
	require.Equal(t, want, got)
}

// Two issuers may use the same subject, and a subject may hold any separator.
func TestPrincipalKeysStayApart(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	for _, p := range []security.Principal{
		{Issuer: "a:b", Subject: "c"},
		{Issuer: "a", Subject: "b:c"},
		{Issuer: "a", Subject: ""},
		{Issuer: "", Subject: "a"},
		{Issuer: "1:a", Subject: ""},
		{Issuer: "", Subject: "1:a"},
		{},
	} {
		keys[p.Key()] = true
	}
	require.Len(t, keys, 7)
}

func FuzzEncodeKeyIsInjective(f *testing.F) {
	f.Add("a:b", "c", "a", "b:c")
	f.Add("", "1:a", "1:a", "")
	f.Fuzz(func(t *testing.T, a1, a2, b1, b2 string) {
		require.Equal(t, a1 == b1 && a2 == b2, security.EncodeKey(a1, a2) == security.EncodeKey(b1, b2))
		require.NotEqual(t, security.EncodeKey(a1), security.EncodeKey(a1, a2))
	})
}

func TestTokenNeverPrints(t *testing.T) {
	t.Parallel()
	token := security.Token{Value: "c4n4ry"}
	wrapped := struct{ T security.Token }{token}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		require.NotContains(t, fmt.Sprintf(format, token), "c4n4ry", format)
		require.NotContains(t, fmt.Sprintf(format, wrapped), "c4n4ry", format)
		require.NotContains(t, fmt.Sprintf(format, &wrapped), "c4n4ry", format)
		require.NotContains(t, fmt.Sprintf(format, token), fmt.Sprintf("%x", "c4n4ry"), format)
	}
	data, err := json.Marshal(wrapped)
	require.NoError(t, err)
	require.NotContains(t, string(data), "c4n4ry")
}

func TestAuthenticatorFunc(t *testing.T) {
	t.Parallel()
	var a security.Authenticator = security.AuthenticatorFunc(func(*http.Request) (security.Principal, error) {
		return security.Principal{}, security.ErrNoCredentials
	})
	_, err := a.Authenticate(httptest.NewRequest("GET", "/", nil))
	require.ErrorIs(t, err, security.ErrNoCredentials)
}
