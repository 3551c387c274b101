package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/marty-framework/mmf/security"
)

// UserTokens fetches users' tokens from the development issuer and keeps them until shortly before they expire. Safe for concurrent
// use.
type UserTokens struct {
	issuer string
	client *http.Client

	mu     sync.Mutex
	tokens map[string]security.Token
}

// NewUserTokens asks the issuer at that URL.
func NewUserTokens(issuer string, client *http.Client) *UserTokens {
	return &UserTokens{issuer: issuer, client: client, tokens: map[string]security.Token{}}
}

// ErrUnknownUser says that the issuer knows no such user.
var ErrUnknownUser = errors.New("edge: the issuer knows no such user")

// Token is user's token. The error matches [ErrUnknownUser], or security.ErrUnavailable when the issuer does not answer.
func (u *UserTokens) Token(ctx context.Context, user string) (string, error) {
	u.mu.Lock()
	t, ok := u.tokens[user]
	u.mu.Unlock()
	if ok && time.Until(t.Expires) > time.Minute {
		return t.Value, nil
	}
	t, err := u.fetch(ctx, user)
	if err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tokens[user] = t // users are few: the issuer names them
	return t.Value, nil
}

// Forget drops a token that a service did not accept, such as one of an issuer that has been restarted.
func (u *UserTokens) Forget(user string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.tokens, user)
}

func (u *UserTokens) fetch(ctx context.Context, user string) (security.Token, error) {
	form := url.Values{"grant_type": {"urn:petstore:development"}, "user": {user}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return security.Token{}, fmt.Errorf("edge: ask for a token: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := u.client.Do(req)
	if err != nil {
		return security.Token{}, fmt.Errorf("edge: ask for a token: %w", errors.Join(security.ErrUnavailable, err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusBadRequest {
		return security.Token{}, ErrUnknownUser
	}
	var reply struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	err = json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&reply)
	if res.StatusCode != http.StatusOK || err != nil || reply.AccessToken == "" {
		return security.Token{}, fmt.Errorf("edge: ask for a token: %w: the issuer answers %s", security.ErrUnavailable, res.Status)
	}
	return security.Token{Value: reply.AccessToken, Expires: time.Now().Add(time.Duration(reply.ExpiresIn) * time.Second)}, nil
}
