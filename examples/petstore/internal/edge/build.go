package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/service"
)

// Build adds the edge to a service: API routes, pages, and a readiness that knows the services behind it.
func Build(_ context.Context, s *platform.Service) error {
	client, err := s.HTTPClient("services")
	if err != nil {
		return err
	}
	upstreams := Upstreams{}
	for _, name := range []string{"catalog", "order", "payment", "delivery"} {
		if upstreams[name], err = s.URL(name); err != nil {
			return err
		}
		// Without payment or delivery orders wait, without catalog or order there is nothing to show.
		check := observability.Check{
			Name: name, Probe: ready(upstreams[name]), Timeout: time.Second, Optional: name == "payment" || name == "delivery",
		}
		if err := s.Shell.Health().Add(check); err != nil {
			return err
		}
	}
	proxied, err := APIRoutes(upstreams, client.Transport)
	if err != nil {
		return err
	}
	pages, err := NewPages(PagesConfig{
		Upstreams: upstreams, Client: client, Sessions: NewSessions(s.Redis, s.Settings.Redis.Prefix),
		Live: platform.Ask(s.Flags.RealTimeOrderUpdates),
	})
	if err != nil {
		return err
	}
	if s.Settings.Env != platform.EnvProd {
		issuer := s.Settings.Auth.Issuer
		if issuer == "" {
			if issuer, err = s.URL("issuer"); err != nil {
				return err
			}
		}
		pages.AllowDevelopmentUsers(NewUserTokens(issuer, client))
	}
	return errors.Join(
		s.Shell.Handle(proxied...),
		s.Shell.Handle(pages.Routes()...),
		s.Shell.Add(service.Component{Name: "live pages", Run: pages.Run, Phase: service.StopIngress}),
	)
}

// ready asks a service whether it is ready. One that says no is asked again until the probe's time is up, so that a shop whose
// services start together is open as soon as the last one is.
func ready(url string) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context) error {
		for {
			err := askReady(ctx, client, url+"/readyz")
			if err == nil {
				return nil
			}
			select {
			case <-time.After(25 * time.Millisecond):
			case <-ctx.Done():
				return err
			}
		}
	}
}

func askReady(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 16<<10))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("edge: %s answers %s", url, res.Status)
	}
	return nil
}
