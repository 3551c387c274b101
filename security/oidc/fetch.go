package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const maxRedirects = 3

var errNoKeysURL = errors.New("oidc: the discovery document names no jwks_uri; set JWKSURL")

// newClient copies base and keeps its redirects on the origin they started from: an open redirect on the issuer must not
// choose where keys come from.
func newClient(base *http.Client, timeout time.Duration) *http.Client {
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{
			Timeout: timeout, Control: refuseLinkLocal,
		}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: 64 << 10,
		// One fetch in minutes gains nothing from a connection that is kept, and nobody is left to close it.
		DisableKeepAlives: true,
	}}
	if base != nil {
		client = *base
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects || !sameOrigin(req.URL, via[0].URL) {
			return errors.New("oidc: redirects to another origin are not followed")
		}
		return nil
	}
	client.Jar = nil
	return &client
}

// refuseLinkLocal runs after name resolution, so no name can point the client to a cloud's metadata service.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("oidc: dial %q: %w", address, err)
	}
	if ip := ap.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("oidc: %s is a link-local, multicast or unspecified address", ip)
	}
	return nil
}

func checkClient(c *http.Client) error {
	if c == nil {
		return nil
	}
	if t, ok := c.Transport.(*http.Transport); ok && t.TLSClientConfig != nil && t.TLSClientConfig.InsecureSkipVerify {
		return errors.New("it does not verify certificates, so anybody on the way could supply keys; trust a CA instead (RootCAs)")
	}
	return nil
}

func checkScheme(u *url.URL, insecure bool) error {
	switch {
	case u.Host == "" || u.Opaque != "":
		return errors.New("it is not an absolute URL")
	case u.User != nil:
		return errors.New("it has a user name in it")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("its scheme is %q, not https", u.Scheme)
	case !insecure:
		return errors.New("it is http; use https, or set AllowInsecureIssuer for an issuer on loopback")
	case !isLoopback(u.Hostname()):
		return errors.New("it is http and not on loopback; AllowInsecureIssuer reaches no further")
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// get fetches one document with a cap on its size. The caller's ctx bounds the time.
func get(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("oidc: fetch %s: %w", address, err)
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("oidc: fetch %s: %w", address, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("oidc: fetch %s: the answer is %s", address, res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocumentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("oidc: fetch %s: %w", address, err)
	}
	if len(body) > maxDocumentBytes {
		return nil, fmt.Errorf("oidc: fetch %s: the answer is larger than %d bytes", address, maxDocumentBytes)
	}
	return body, nil
}

// document is what is read of an issuer's discovery document.
type document struct {
	Issuer        string `json:"issuer"`
	JWKSURL       string `json:"jwks_uri"`
	TokenEndpoint string `json:"token_endpoint"`
}

// discover fetches and checks the discovery document. The document must name the very issuer that was asked for
// (OpenID Connect Discovery 4.3), and point to its own origin or to one of hosts.
func discover(ctx context.Context, client *http.Client, issuer string, hosts []string, insecure bool) (document, error) {
	address := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	body, err := get(ctx, client, address)
	if err != nil {
		return document{}, err
	}
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return document{}, fmt.Errorf("oidc: the discovery document at %s is not JSON: %w", address, err)
	}
	if d.Issuer != issuer {
		return document{}, fmt.Errorf("oidc: the discovery document at %s is of issuer %q, not %q; write Issuer exactly as the document does",
			address, d.Issuer, issuer)
	}
	for name, target := range map[string]string{"jwks_uri": d.JWKSURL, "token_endpoint": d.TokenEndpoint} {
		if target == "" {
			continue
		}
		if err := checkTarget(target, issuer, hosts, insecure); err != nil {
			return document{}, fmt.Errorf("oidc: %s %q in the discovery document: %w", name, target, err)
		}
	}
	return d, nil
}

func checkTarget(target, issuer string, hosts []string, insecure bool) error {
	t, err := url.Parse(target)
	if err != nil {
		return err
	}
	if err := checkScheme(t, insecure); err != nil {
		return err
	}
	i, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	if !sameOrigin(t, i) && !slices.Contains(hosts, t.Host) {
		return fmt.Errorf("host %q is not the issuer's; allow it in KeyHosts if it is right", t.Host)
	}
	return nil
}
