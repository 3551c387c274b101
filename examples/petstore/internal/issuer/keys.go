package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithm is the only one that the issuer signs with.
const algorithm = "ES256"

// Keys are the issuer's signing keys. The newest signs; older ones stay published until every token that they signed has
// expired. Safe for concurrent use.
type Keys struct {
	path string // "": nothing is kept
	keep time.Duration

	mu   sync.Mutex
	ring []signingKey // the newest first, never empty
}

type signingKey struct {
	Key     jose.JSONWebKey `json:"key"`
	Retired time.Time       `json:"retired,omitzero"`
}

// OpenKeys reads the keys in the file path, or makes a first one and writes it there, so that tokens survive a restart. With an empty
// path keys live as long as the process. A retired key is published for keep, the longest lifetime of a token.
func OpenKeys(path string, keep time.Duration) (*Keys, error) {
	k := &Keys{path: path, keep: keep}
	if path != "" {
		content, err := os.ReadFile(path) //nolint:gosec // inside the shop's own data folder
		switch {
		case err == nil:
			if k.ring, err = decodeRing(content); err != nil {
				return nil, fmt.Errorf("issuer: the key file %s cannot be used (remove it, and the tokens of before are void): %w", path, err)
			}
			return k, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("issuer: read the keys: %w", err)
		}
	}
	return k, k.Rotate()
}

func decodeRing(content []byte) ([]signingKey, error) {
	var ring []signingKey
	if err := json.Unmarshal(content, &ring); err != nil {
		return nil, err
	}
	if len(ring) == 0 {
		return nil, errors.New("it holds no key")
	}
	for _, k := range ring {
		if _, ok := k.Key.Key.(*ecdsa.PrivateKey); !ok || !k.Key.Valid() || k.Key.KeyID == "" {
			return nil, errors.New("it holds something that is no private key of ours")
		}
	}
	return ring, nil
}

// Rotate makes a new key, which signs from now on. Verifiers fetch it when they meet its id for the first time.
func (k *Keys) Rotate() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issuer: make a key: %w", err)
	}
	fresh := signingKey{Key: jose.JSONWebKey{Key: private, KeyID: strings.ToLower(rand.Text()), Algorithm: algorithm, Use: "sig"}}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	ring := []signingKey{fresh}
	for _, old := range k.ring {
		if old.Retired.IsZero() {
			old.Retired = now
		}
		if now.Sub(old.Retired) < k.keep {
			ring = append(ring, old)
		}
	}
	// On disk before the first signature: a token must not outlive the only trace of its key.
	if err := write(k.path, ring); err != nil {
		return err
	}
	k.ring = ring
	return nil
}

// write replaces the file at once or not at all.
func write(path string, ring []signingKey) error {
	if path == "" {
		return nil
	}
	content, err := json.Marshal(ring)
	if err != nil {
		return fmt.Errorf("issuer: encode the keys: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".issuer-*") // readable by the owner only
	if err != nil {
		return fmt.Errorf("issuer: write the keys: %w", err)
	}
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("issuer: write the keys: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// signer is the key that signs now.
func (k *Keys) signer() (private *ecdsa.PrivateKey, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	private, _ = k.ring[0].Key.Key.(*ecdsa.PrivateKey) // no other kind gets in
	return private, k.ring[0].Key.KeyID
}

// Public is the key set as verifiers see it.
func (k *Keys) Public() jose.JSONWebKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	var set jose.JSONWebKeySet
	for _, key := range k.ring {
		if key.Retired.IsZero() || now.Sub(key.Retired) < k.keep {
			set.Keys = append(set.Keys, key.Key.Public())
		}
	}
	return set
}
