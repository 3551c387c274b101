package adapters

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Catalog asks the catalog service over HTTP.
type Catalog struct {
	// URL is the catalog's.
	URL string
	// Client carries the resilience policy.
	Client *http.Client
}

// Exists reports whether the catalog has the pet. It asks for a moment only: somebody waits for the answer.
func (c Catalog) Exists(ctx context.Context, petID string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/api/v1/pets/"+url.PathEscape(petID), http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := c.Client.Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusNotFound:
		return false, nil
	}
	return false, fmt.Errorf("catalog: %s", resp.Status)
}
