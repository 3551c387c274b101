// Package sagacodec encrypts the sensitive payloads of sagas with AES-256-GCM, under keys that can be rotated.
//
//	ring, err := sagacodec.New(sagacodec.Config{Current: "2026-11", Keys: map[string][]byte{"2026-11": key}})
//	engine, err := saga.New(saga.Config{Codec: ring}, store, placeOrder)
//
// What is encrypted is bound to its place: moved to another saga, record or step it does not decrypt. New payloads are
// written under the current key; every key of the ring reads. A key may be taken out when no saga that was written under it is
// remembered any more, that is after the retention: the journal is insert-only and never encrypted anew. A payload whose key
// is missing gives an [UnknownKeyError]; its saga is left alone, visible as unreadable, until the key is back.
//
// It does not hide that a step was taken, when, or about how long its payload is.
package sagacodec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/marty-framework/mmf/saga"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// maxKeyID bounds a key's id, which stands in every payload.
const maxKeyID = 64

// Config is a set of keys.
type Config struct {
	// Current is the id of the key under which payloads are written. Required.
	Current string
	// Keys are the keys that read, by id: 1 to 64 bytes that must never be given to another key. Each key is 32 random bytes, of
	// which the ring keeps a copy.
	Keys map[string][]byte
}

// Ring is a [saga.Codec] with rotating keys. It is safe for concurrent use.
type Ring struct{ keys atomic.Pointer[Config] }

var _ saga.Codec = (*Ring)(nil)

// New makes a ring. The error joins everything that is wrong with cfg; it never contains a key.
func New(cfg Config) (*Ring, error) {
	r := &Ring{}
	if err := r.Replace(cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// Replace exchanges the keys while the ring is in use, for rotation without a restart. On an error the ring stays as it is.
//
// Give a new key to every process first, without making it current; when all have it, make it current everywhere.
func (r *Ring) Replace(cfg Config) error {
	var problems []error
	if _, ok := cfg.Keys[cfg.Current]; !ok {
		problems = append(problems, fmt.Errorf("sagacodec: the current key %.80q is not among the keys", cfg.Current))
	}
	own := Config{Current: cfg.Current, Keys: make(map[string][]byte, len(cfg.Keys))}
	for _, id := range slices.Sorted(maps.Keys(cfg.Keys)) {
		if id == "" || len(id) > maxKeyID {
			problems = append(problems, fmt.Errorf("sagacodec: the key id %.80q must have 1 to %d bytes", id, maxKeyID))
		}
		if len(cfg.Keys[id]) != KeySize {
			problems = append(problems, fmt.Errorf("sagacodec: key %.80q has %d bytes, not %d", id, len(cfg.Keys[id]), KeySize))
		}
		own.Keys[id] = slices.Clone(cfg.Keys[id])
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	r.keys.Store(&own)
	return nil
}

// The stored form: version, length of the key's id, the id, then nonce, ciphertext and tag as [cipher.NewGCMWithRandomNonce]
// makes them. The header and the payload's place are authenticated with it.
const version = 1

// Encode encrypts under the current key.
func (r *Ring) Encode(plain []byte, about saga.PayloadInfo) ([]byte, error) {
	keys := r.keys.Load()
	aead, err := forSaga(keys.Keys[keys.Current], about.UID)
	if err != nil {
		return nil, err
	}
	header := append([]byte{version, byte(len(keys.Current))}, keys.Current...)
	out := make([]byte, len(header), len(header)+len(plain)+aead.Overhead())
	copy(out, header)
	return aead.Seal(out, nil, plain, place(header, about)), nil
}

// Decode decrypts under the key that the payload names. Errors are an [*UnknownKeyError] or match [ErrRefused].
func (r *Ring) Decode(stored []byte, about saga.PayloadInfo) ([]byte, error) {
	if len(stored) < 2 || stored[0] != version || len(stored) < 2+int(stored[1]) {
		return nil, fmt.Errorf("%w: it is none of this package", ErrRefused)
	}
	header, body := stored[:2+int(stored[1])], stored[2+int(stored[1]):]
	id := string(header[2:])
	key, ok := r.keys.Load().Keys[id]
	if !ok {
		return nil, &UnknownKeyError{ID: id}
	}
	aead, err := forSaga(key, about.UID)
	if err != nil {
		return nil, err
	}
	if len(body) < aead.Overhead() {
		return nil, fmt.Errorf("%w: it is cut off", ErrRefused)
	}
	plain, err := aead.Open(nil, nil, body, place(header, about))
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or stands where it does not belong", ErrRefused)
	}
	return plain, nil
}

// forSaga derives a key for one saga, so that random nonces do not wear out a key that encrypts many thousands of payloads a
// second (RFC 5869; NIST SP 800-38D allows 2^32 messages under one).
func forSaga(key []byte, uid saga.UID) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "mmf saga payload 1\x00"+string(uid[:]), KeySize)
	if err != nil {
		return nil, fmt.Errorf("sagacodec: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("sagacodec: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("sagacodec: %w", err)
	}
	return aead, nil
}
