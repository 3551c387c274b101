package edge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
)

// cookieName is the session's cookie; it says nothing but a random id.
const cookieName = "petstore_session"

// sessionLife is how long a session lasts without a new choice of user.
const sessionLife = 8 * time.Hour

// Sessions remember in Redis who sits at which browser, so that any edge process can answer. Safe for concurrent use.
type Sessions struct {
	redis  redis.UniversalClient
	prefix string
}

// NewSessions keeps sessions under keys that begin with prefix.
func NewSessions(client redis.UniversalClient, prefix string) *Sessions {
	return &Sessions{redis: client, prefix: prefix + ".session."}
}

// key hides the id, so that whoever reads Redis cannot take a session over.
func (s *Sessions) key(id string) string {
	sum := sha256.Sum256([]byte(id))
	return s.prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// Begin gives the browser a fresh session for user, in place of the one that it had.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, user string) error {
	if err := s.End(w, r); err != nil {
		return err
	}
	id := rand.Text()
	if err := s.redis.Set(r.Context(), s.key(id), user, sessionLife).Err(); err != nil {
		return fmt.Errorf("edge: begin a session: %w", err)
	}
	http.SetCookie(w, cookie(r, id, int(sessionLife/time.Second)))
	return nil
}

// End forgets the browser's session.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) error {
	had, err := r.Cookie(cookieName)
	if err != nil {
		return nil //nolint:nilerr // no cookie, no session
	}
	if err := s.redis.Del(r.Context(), s.key(had.Value)).Err(); err != nil {
		return fmt.Errorf("edge: end a session: %w", err)
	}
	http.SetCookie(w, cookie(r, "", -1))
	return nil
}

// User is who sits at the browser; "" for nobody. When the sessions cannot be read it is nobody as well, and err says why.
func (s *Sessions) User(ctx context.Context, r *http.Request) (string, error) {
	c, err := r.Cookie(cookieName)
	if err != nil || len(c.Value) > 64 {
		return "", nil //nolint:nilerr // no cookie, no session
	}
	user, err := s.redis.Get(ctx, s.key(c.Value)).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("edge: read a session: %w", err)
	}
	return user, nil
}

func cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}
