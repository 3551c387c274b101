package securityhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/security/securityhttp"
)

type source struct{ err error }

func (s source) Token(context.Context) (security.Token, error) {
	return security.Token{Value: "t0ken"}, s.err
}

// echo tells the Authorization header it got.
func echo(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got", strings.Join(r.Header.Values("Authorization"), "|"))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTokenGoesToItsOriginsOnly(t *testing.T) {
	t.Parallel()
	ours, stranger := echo(t), echo(t)
	redirects := httptest.NewServer(http.RedirectHandler(stranger.URL, http.StatusFound))
	t.Cleanup(redirects.Close)
	transport, err := securityhttp.NewTransport(source{}, nil, ours.URL, redirects.URL)
	require.NoError(t, err)
	client := &http.Client{Transport: transport}
	get := func(url, authorization string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		res, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, authorization, r.Header.Get("Authorization"), "the caller's request is not changed")
		return res.Header.Get("Got")
	}
	require.Equal(t, "Bearer t0ken", get(ours.URL+"/x", ""))
	require.Equal(t, "Bearer own", get(ours.URL, "Bearer own"))
	require.Empty(t, get(stranger.URL, ""))
	require.Empty(t, get(redirects.URL, ""), "a redirect does not carry the token away")
}

type body struct {
	*strings.Reader
	closed bool
}

func (b *body) Close() error {
	b.closed = true
	return nil
}

func TestWithoutATokenNothingIsSent(t *testing.T) {
	t.Parallel()
	ours := echo(t)
	transport, err := securityhttp.NewTransport(source{err: security.ErrUnavailable}, nil, ours.URL)
	require.NoError(t, err)
	b := &body{Reader: strings.NewReader("x")}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ours.URL, b)
	require.NoError(t, err)
	res, err := transport.RoundTrip(r)
	if res != nil {
		_ = res.Body.Close()
	}
	require.ErrorIs(t, err, security.ErrUnavailable)
	require.True(t, b.closed)
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "inventory", "ftp://a", "https://a/path", "https://u@a", "https://a?x", "https://"} {
		_, err := securityhttp.NewTransport(source{}, nil, bad)
		require.Error(t, err, bad)
	}
	_, err := securityhttp.NewTransport(nil, nil)
	require.ErrorContains(t, err, "source")
	require.ErrorContains(t, err, "no origin")

	var got string
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return &http.Response{Body: http.NoBody}, nil
	})
	transport, err := securityhttp.NewTransport(source{}, base, "https://Inventory.internal")
	require.NoError(t, err)
	for url, sent := range map[string]bool{
		"https://inventory.internal/x": true, "https://INVENTORY.internal:443": true, "http://inventory.internal": false,
		"https://inventory.internal:8443": false, "https://inventory.internal.evil.example": false,
	} {
		got = ""
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, sent, got != "", url)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func ExampleTransport() {
	inventory := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("Authorization"))
	}))
	defer inventory.Close()

	transport, err := securityhttp.NewTransport(source{}, http.DefaultTransport, inventory.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := (&http.Client{Transport: transport}).Get(inventory.URL + "/stock/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	answer := make([]byte, 64)
	n, _ := res.Body.Read(answer)
	fmt.Println(string(answer[:n]))
	// Output:
	// Bearer t0ken
}
