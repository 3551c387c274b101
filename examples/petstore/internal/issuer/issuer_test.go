package issuer_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/examples/petstore/internal/issuer"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/security/oidc"
	"github.com/marty-framework/mmf/security/ratelimit"
	"github.com/marty-framework/mmf/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is an issuer behind the shell that it has in the shop.
type running struct {
	*httptest.Server
	keys *issuer.Keys
}

func start(t *testing.T, keyFile string) *running {
	t.Helper()
	keys, err := issuer.OpenKeys(keyFile, time.Hour)
	require.NoError(t, err)
	limiter, err := ratelimit.NewLocal(ratelimit.LocalConfig{})
	require.NoError(t, err)
	shell, err := service.New(service.Config{Name: "issuer", Addr: "127.0.0.1:0"}, service.Deps{Limiter: limiter})
	require.NoError(t, err)
	server := httptest.NewServer(shell.Handler())
	t.Cleanup(server.Close)
	i, err := issuer.New(issuer.Config{
		URL: server.URL, Audience: "petstore", Users: map[string][]string{"alice": {"customer"}, "admin": {"admin"}},
		Clients: []string{"order"}, Secret: func() string { return "a secret: with %, +" },
	}, keys)
	require.NoError(t, err)
	require.NoError(t, shell.Handle(i.Routes()...))
	return &running{Server: server, keys: keys}
}

func (r *running) verifier(t *testing.T) *oidc.Verifier {
	t.Helper()
	v, err := oidc.New(oidc.Config{Issuer: r.URL, Audience: "petstore", AllowInsecureIssuer: true, Cooldown: time.Nanosecond})
	require.NoError(t, err)
	return v
}

func (r *running) post(t *testing.T, form url.Values, change func(*http.Request)) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/token", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(req)
	}
	res, err := r.Client().Do(req)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	var reply map[string]any
	require.NoError(t, json.Unmarshal(body, &reply), "%s", body)
	return res.StatusCode, reply
}

func (r *running) userToken(t *testing.T, user string) string {
	t.Helper()
	status, reply := r.post(t, url.Values{"grant_type": {issuer.GrantDevelopment}, "user": {user}}, nil)
	require.Equal(t, http.StatusOK, status, reply)
	token, _ := reply["access_token"].(string)
	return token
}

func TestVerifierAcceptsUsers(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	p, err := r.verifier(t).Verify(t.Context(), r.userToken(t, "alice"))
	require.NoError(t, err)
	require.Equal(t, "alice", p.Subject)
	require.Equal(t, []string{"customer"}, p.Roles)
	require.False(t, p.Service, "a user is no service")
	require.WithinDuration(t, time.Now().Add(issuer.UserLifetime), p.Expires, 10*time.Second)
}

func TestServicesGetTokensThroughTheLibrary(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	source, err := oidc.ClientCredentials(oidc.ClientCredentialsConfig{
		Issuer: r.URL, ClientID: "order", ClientSecret: func() string { return "a secret: with %, +" },
		Audience: "petstore", AllowInsecureIssuer: true, HTTPClient: r.Client(),
	})
	require.NoError(t, err)
	token, err := source.Token(t.Context())
	require.NoError(t, err)
	p, err := r.verifier(t).Verify(t.Context(), token.Value)
	require.NoError(t, err)
	require.Equal(t, "order", p.Subject)
	require.True(t, p.Service)
	require.True(t, p.HasRole(issuer.RoleService))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	service := url.Values{"grant_type": {"client_credentials"}, "client_id": {"order"}, "client_secret": {"a secret: with %, +"}}
	status, _ := r.post(t, service, nil)
	require.Equal(t, http.StatusOK, status, "the cases below are wrong in one thing each")
	with := func(form url.Values, key, value string) url.Values {
		changed := url.Values{}
		for k, v := range form {
			changed[k] = v
		}
		changed.Set(key, value)
		return changed
	}
	user := url.Values{"grant_type": {issuer.GrantDevelopment}, "user": {"alice"}}
	for name, c := range map[string]struct {
		form   url.Values
		change func(*http.Request)
		status int
		code   string
	}{
		"wrong secret":      {with(service, "client_secret", "x"), nil, 401, "invalid_client"},
		"no secret":         {with(service, "client_secret", ""), nil, 401, "invalid_client"},
		"unknown service":   {with(service, "client_id", "cron"), nil, 401, "invalid_client"},
		"broken basic":      {service, func(r *http.Request) { r.SetBasicAuth("order", "%zz") }, 401, "invalid_client"},
		"unknown user":      {with(user, "user", "mallory"), nil, 400, "invalid_grant"},
		"service as a user": {with(user, "user", "order"), nil, 400, "invalid_grant"},
		"no grant":          {url.Values{}, nil, 400, "unsupported_grant_type"},
		"foreign audience":  {with(service, "audience", "bank"), nil, 400, "invalid_target"},
		"rebound name":      {user, func(r *http.Request) { r.Host = "evil.example" }, 421, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, reply := r.post(t, c.form, c.change)
			require.Equal(t, c.status, status)
			require.Equal(t, c.code, reply["error"])
			require.NotContains(t, reply, "access_token")
		})
	}
}

func TestPagesOfOthersGetNoToken(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	form := strings.NewReader("grant_type=" + issuer.GrantDevelopment + "&user=admin")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/token", form)
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://evil.example")
	res, err := r.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode)
}

func TestRotationKeepsTokensOfBefore(t *testing.T) {
	t.Parallel()
	r := start(t, "")
	v := r.verifier(t)
	before := r.userToken(t, "alice")
	_, err := v.Verify(t.Context(), before)
	require.NoError(t, err)

	require.NoError(t, r.keys.Rotate())
	after := r.userToken(t, "alice")
	require.NotEqual(t, header(t, before)["kid"], header(t, after)["kid"])
	_, err = v.Verify(t.Context(), after)
	require.NoError(t, err, "the verifier fetches the key that it does not know")
	_, err = v.Verify(t.Context(), before)
	require.NoError(t, err)
}

func TestRetiredKeyGoesWhenItsTokensHaveExpired(t *testing.T) {
	t.Parallel()
	keys, err := issuer.OpenKeys("", 0)
	require.NoError(t, err)
	first := keys.Public().Keys[0].KeyID
	require.NoError(t, keys.Rotate())
	require.Len(t, keys.Public().Keys, 1)
	require.NotEqual(t, first, keys.Public().Keys[0].KeyID)
}

func TestKeysSurviveARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.json")
	keys, err := issuer.OpenKeys(file, time.Hour)
	require.NoError(t, err)
	require.NoError(t, keys.Rotate())
	again, err := issuer.OpenKeys(file, time.Hour)
	require.NoError(t, err)
	require.Equal(t, ids(keys), ids(again))
	require.Len(t, ids(again), 2)

	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "a private key is nobody else's business")

	for _, broken := range []string{"", "[]", "{}", `[{"key":{"kty":"oct","k":"AAAA","kid":"x"}}]`} {
		require.NoError(t, os.WriteFile(file, []byte(broken), 0o600))
		_, err = issuer.OpenKeys(file, time.Hour)
		require.ErrorContains(t, err, "remove it", "%q", broken)
	}
}

func TestPublishedKeysArePublic(t *testing.T) {
	t.Parallel()
	keys, err := issuer.OpenKeys("", time.Hour)
	require.NoError(t, err)
	published, err := json.Marshal(keys.Public())
	require.NoError(t, err)
	require.NotContains(t, string(published), `"d"`)
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	keys, err := issuer.OpenKeys("", time.Hour)
	require.NoError(t, err)
	_, err = issuer.New(issuer.Config{
		URL: "http://127.0.0.1", Audience: "petstore", Users: map[string][]string{"order": nil}, Clients: []string{"order"},
	}, keys)
	require.ErrorContains(t, err, "auth.client_secret")
	require.ErrorContains(t, err, `"order" is a user and a service`)
}

func TestRefusesToRunInProduction(t *testing.T) {
	t.Parallel()
	err := issuer.Build(t.Context(), &platform.Service{Settings: platform.Settings{Env: platform.EnvProd}})
	require.ErrorIs(t, err, issuer.ErrProd)
	require.ErrorContains(t, err, "auth.issuer")
}

func ids(k *issuer.Keys) []string {
	var all []string
	for _, key := range k.Public().Keys {
		all = append(all, key.KeyID)
	}
	return all
}

func header(t *testing.T, token string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(head)
	require.NoError(t, err)
	var h map[string]any
	require.NoError(t, json.Unmarshal(raw, &h))
	require.Equal(t, "at+jwt", h["typ"])
	return h
}
