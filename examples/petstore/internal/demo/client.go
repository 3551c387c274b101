package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client talks to a shop's edge as one user.
type Client struct {
	base, token string
	http        *http.Client
}

// As fetches user's token and returns a client that uses it.
func (s *Shop) As(ctx context.Context, user string) (*Client, error) {
	token, err := Token(ctx, s.URLs["issuer"], user)
	return &Client{base: s.URLs["edge"], token: token, http: &http.Client{Timeout: 10 * time.Second}}, err
}

// Token asks a running development issuer for user's token.
func Token(ctx context.Context, issuer, user string) (string, error) {
	form := url.Values{"grant_type": {"urn:petstore:development"}, "user": {user}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(issuer, "/")+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return "", fmt.Errorf("no issuer answers at %s: is the shop running? %w", issuer, err)
	}
	defer func() { _ = res.Body.Close() }()
	var reply struct {
		AccessToken string `json:"access_token"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&reply); err != nil {
		return "", fmt.Errorf("%s is no issuer of a petstore: %w", issuer, err)
	}
	if reply.AccessToken == "" {
		return "", fmt.Errorf("the issuer refused: %s %s", res.Status, reply.Description)
	}
	return reply.AccessToken, nil
}

// Reply is what the shop answered.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request; in, when not nil, is its JSON body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, in any) (Reply, error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return Reply{}, err
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return Reply{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.http.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return Reply{Status: res.StatusCode, Header: res.Header, Body: content}, err
}

// get reads path into a T. A status other than 200 is an error, except 404, which is the zero T.
func get[T any](ctx context.Context, c *Client, path string) (v T, err error) {
	r, err := c.Do(ctx, http.MethodGet, path, nil, nil)
	switch {
	case err != nil:
		return v, err
	case r.Status == http.StatusNotFound:
		return v, nil
	case r.Status != http.StatusOK:
		return v, fmt.Errorf("GET %s: %d %s", path, r.Status, bytes.TrimSpace(r.Body))
	}
	return v, json.Unmarshal(r.Body, &v)
}

// until asks again and again until the answer is right or patience ends; then the last answer counts. A shop that cannot be asked for
// a while is asked again as well.
func until[T any](ctx context.Context, patience time.Duration, ask func(context.Context) (T, error), right func(T) bool) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last T
	failed := errors.New("it was never asked")
	for {
		v, err := ask(ctx)
		if err == nil {
			last, failed = v, nil
			if right(v) {
				return v, nil
			}
		} else if ctx.Err() == nil {
			failed = err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return last, failed
		}
	}
}
