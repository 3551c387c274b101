package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192
)

// key is one usable key: it verifies one algorithm and no other, so a token cannot choose how its key is used.
type key struct {
	id        string
	algorithm string
	public    crypto.PublicKey
	method    jwt.SigningMethod
}

// keySet is an immutable set of keys by id.
type keySet struct {
	byID    map[string]key
	skipped []SkippedKey
}

// find returns the key for a token. A token without a key id is only unambiguous where there is a single key.
func (s *keySet) find(id string, hasID bool) (key, bool) {
	if !hasID {
		if len(s.byID) == 1 {
			for _, k := range s.byID {
				return k, true
			}
		}
		return key{}, false
	}
	k, ok := s.byID[id]
	return k, ok && id != ""
}

// parseKeySet reads a JWK set. A bad key is skipped and reported, so that one key of a new kind does not take the others
// down; a key id that occurs twice is used for neither key. A set without a single usable key is an error.
func parseKeySet(data []byte, algorithms []string) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("oidc: the key set is not JSON: %w", err)
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("oidc: the key set has %d keys, allowed are %d", len(document.Keys), maxKeys)
	}
	set := &keySet{byID: map[string]key{}}
	ids := map[string]int{}
	for _, raw := range document.Keys {
		k, err := parseKey(raw, algorithms)
		if err != nil {
			set.skipped = append(set.skipped, SkippedKey{ID: k.id, Reason: err.Error()})
			continue
		}
		ids[k.id]++
		set.byID[k.id] = k
	}
	for id, n := range ids {
		if n > 1 {
			delete(set.byID, id)
			set.skipped = append(set.skipped, SkippedKey{ID: id, Reason: fmt.Sprintf("%d keys have this id", n)})
		}
	}
	if len(set.byID) == 0 {
		return nil, fmt.Errorf("oidc: none of the %d keys of the set is usable: %v", len(document.Keys), set.skipped)
	}
	return set, nil
}

func parseKey(raw []byte, algorithms []string) (key, error) {
	var extra struct {
		KeyOps []string        `json:"key_ops"`
		D      json.RawMessage `json:"d"`
		K      json.RawMessage `json:"k"`
	}
	var j jose.JSONWebKey
	if err := json.Unmarshal(raw, &extra); err != nil {
		return key{}, errors.New("not a JSON Web Key")
	}
	if extra.D != nil || extra.K != nil {
		return key{}, errors.New("it is private or symmetric, so whoever fetched it can sign")
	}
	if err := j.UnmarshalJSON(raw); err != nil {
		return key{}, fmt.Errorf("not a usable JSON Web Key: %w", err)
	}
	k := key{id: j.KeyID, public: j.Key}
	if len(k.id) > maxKeyID {
		return key{}, errors.New("its id is too long")
	}
	if j.Use != "" && j.Use != "sig" {
		return k, fmt.Errorf("its use is %q", j.Use)
	}
	if extra.KeyOps != nil && !slices.Contains(extra.KeyOps, "verify") {
		return k, errors.New("its key_ops do not include verify")
	}
	candidates, err := algorithmsOf(j.Key)
	if err != nil {
		return k, err
	}
	if j.Algorithm != "" {
		if !slices.Contains(candidates, j.Algorithm) {
			return k, fmt.Errorf("its algorithm %q does not fit its type", j.Algorithm)
		}
		candidates = []string{j.Algorithm}
	}
	for _, alg := range candidates {
		if slices.Contains(algorithms, alg) {
			k.algorithm, k.method = alg, jwt.GetSigningMethod(alg)
			return k, nil
		}
	}
	return k, fmt.Errorf("none of its algorithms %v is accepted", candidates)
}

// algorithmsOf lists what a key is good for, the preferred one first, and refuses weak keys.
func algorithmsOf(public any) ([]string, error) {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if err := checkRSA(p); err != nil {
			return nil, err
		}
		return []string{"RS256", "RS384", "RS512"}, nil
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return []string{"ES256"}, nil
		case elliptic.P384():
			return []string{"ES384"}, nil
		case elliptic.P521():
			return []string{"ES512"}, nil
		}
		return nil, errors.New("its curve is not supported")
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	default:
		return nil, errors.New("its type is not supported")
	}
}

func checkRSA(p *rsa.PublicKey) error {
	if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("its modulus has %d bits, allowed are %d to %d", bits, minRSABits, maxRSABits)
	}
	if p.E < 65537 || p.E%2 == 0 {
		return fmt.Errorf("its exponent is %d, the least allowed is 65537", p.E)
	}
	if p.N.Bit(0) == 0 {
		return errors.New("its modulus is even")
	}
	if hasROCAFingerprint(p.N) {
		return errors.New("its modulus has the fingerprint of CVE-2017-15361 (ROCA)")
	}
	return nil
}

// rocaPrimes are the primes up to 167 at which moduli from the flawed generator give themselves away.
var rocaPrimes = [...]int64{
	3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
	127, 131, 137, 139, 149, 151, 157, 163, 167,
}

// hasROCAFingerprint tells whether n is a power of 65537 modulo each of the primes, as products of two primes of the form
// k·M + (65537^a mod M) are. Of honest moduli fewer than one in 2^27 is. Source: Nemec et al., "The Return of
// Coppersmith's Attack", 2017, section 2.
func hasROCAFingerprint(n *big.Int) bool {
	for _, p := range rocaPrimes {
		residue := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power, member := int64(1), false
		for range p {
			if power == residue {
				member = true
				break
			}
			power = power * 65537 % p
		}
		if !member {
			return false
		}
	}
	return true
}
