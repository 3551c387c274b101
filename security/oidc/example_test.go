package oidc_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/marty-framework/mmf/security/oidc"
)

// An issuer on loopback stands in for the real one; it signed token for alice.
func Example() {
	issuer := newIDP(&testing.T{})
	defer issuer.Close()
	token := issuer.token(map[string]any{"sub": "alice", "roles": []string{"customer"}})

	verifier, err := oidc.New(oidc.Config{
		Issuer: issuer.URL, Audience: "shop",
		AllowInsecureIssuer: true, // loopback only; leave it out in production
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/orders", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	principal, err := verifier.Authenticate(r)
	fmt.Println(principal.Subject, principal.Roles, err)

	r.Header.Set("Authorization", "Bearer "+token[:len(token)-4]+"AAAA")
	_, err = verifier.Authenticate(r)
	fmt.Println(err)
	// Output:
	// alice [customer] <nil>
	// security: the credentials are not valid
}

func ExampleClientCredentials() {
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-of-%s","token_type":"Bearer","expires_in":300}`, id)
	}))
	defer issuer.Close()

	source, err := oidc.ClientCredentials(oidc.ClientCredentialsConfig{
		TokenURL: issuer.URL, ClientID: "order", ClientSecret: func() string { return "from the secret store" },
		AllowInsecureIssuer: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := source.Token(context.Background())
	fmt.Println(token.Value, err)
	fmt.Println(token)
	// Output:
	// token-of-order <nil>
	// [redacted]
}
