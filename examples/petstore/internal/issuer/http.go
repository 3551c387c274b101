package issuer

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// GrantDevelopment is the grant type that gives a named user's token to whoever asks.
const GrantDevelopment = "urn:petstore:development"

// Routes are the issuer's routes. All are public: they are how one becomes known.
func (i *Issuer) Routes() []service.Route {
	return []service.Route{
		{
			Pattern: "GET /.well-known/openid-configuration", Operation: "discovery", Summary: "Tell where keys and tokens are",
			Policy: security.Public(), Limit: "600/min burst 100", Timeout: time.Second, Handler: http.HandlerFunc(i.discovery),
		},
		{
			Pattern: "GET /jwks.json", Operation: "keys", Summary: "Publish the keys that tokens are verified with",
			Policy: security.Public(), Limit: "600/min burst 100", Timeout: time.Second, Handler: http.HandlerFunc(i.jwks),
		},
		{
			Pattern: "POST /token", Operation: "token", Summary: "Give a token to a service, or to a named user (development)",
			Policy: security.Public(), Limit: "600/min burst 100", Timeout: time.Second, MaxBody: 4 << 10,
			Handler: http.NewCrossOriginProtection().Handler(http.HandlerFunc(i.token)),
		},
	}
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{
		"issuer": i.cfg.URL, "jwks_uri": i.cfg.URL + "/jwks.json", "token_endpoint": i.cfg.URL + "/token",
		"grant_types_supported":                 []string{"client_credentials", GrantDevelopment},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{algorithm},
		"response_types_supported":              []string{"none"},
		"subject_types_supported":               []string{"public"},
	})
}

func (i *Issuer) jwks(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, i.keys.Public())
}

// token answers as RFC 6749 wants it, section 5: clients know that and not problems.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !i.own(r.Host) {
		// A web page that made its own name point at this machine must not read tokens here.
		refuse(w, http.StatusMisdirectedRequest, "invalid_request", "this issuer is reached as "+i.cfg.URL+" only")
		return
	}
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", "the body is no form (application/x-www-form-urlencoded)")
		return
	}
	if audience := r.PostForm.Get("audience"); audience != "" && audience != i.cfg.Audience {
		refuse(w, http.StatusBadRequest, "invalid_target", "the only audience is "+i.cfg.Audience)
		return
	}
	var t Token
	var err error
	switch grant := r.PostForm.Get("grant_type"); grant {
	case "client_credentials":
		t, err = i.ForService(credentials(r))
	case GrantDevelopment:
		t, err = i.ForUser(r.PostForm.Get("user"))
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type is client_credentials or "+GrantDevelopment)
		return
	}
	switch {
	case errors.Is(err, ErrClient):
		w.Header().Set("WWW-Authenticate", `Basic realm="issuer"`)
		refuse(w, http.StatusUnauthorized, ErrClient.Error(), "no service has this name and secret")
	case errors.Is(err, ErrUser):
		refuse(w, http.StatusBadRequest, ErrUser.Error(), err.Error())
	case err != nil:
		service.WriteError(w, r, err)
	default:
		reply(w, http.StatusOK, t)
	}
}

func (i *Issuer) own(host string) bool {
	u, err := url.Parse(i.cfg.URL)
	return err == nil && strings.EqualFold(u.Host, host)
}

// credentials are in the Authorization header, each part form-encoded as RFC 6749 section 2.3.1 says, or in the form.
func credentials(r *http.Request) (client, secret string) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	client, err := url.QueryUnescape(user)
	if err != nil {
		return "", ""
	}
	if secret, err = url.QueryUnescape(password); err != nil {
		return "", ""
	}
	return client, secret
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	reply(w, status, map[string]string{"error": code, "error_description": description})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone when it fails
}
