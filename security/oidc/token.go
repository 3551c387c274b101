package oidc

import (
	"encoding/base64"
	"slices"
	"strings"
)

// maxKeyID bounds the kid header; those in use have 8 to 64 characters.
const maxKeyID = 256

// token is a token that was taken apart, whose signature was not yet checked and whose payload was not yet looked at.
type token struct {
	algorithm string
	keyID     string
	hasKeyID  bool
	kind      string // typ, normalised
	// signed is what the signature is over: header and payload as they were sent.
	signed    string
	payload   []byte
	signature []byte
}

// refusedMembers change what a token means, and nothing here supports them. Ignoring one would be the mistake: crit asks
// to be refused by who does not know it, b64 and zip change what was signed, enc and cty belong to nested tokens.
var refusedMembers = []string{"crit", "b64", "zip", "enc", "cty"}

// parse takes a token apart in the order that this package's comment promises. Nothing that the token says about keys
// (jku, x5u, jwk, x5c) is ever looked at, except for the key id.
func parse(raw string, maxBytes int, algorithms []string) (token, Reason) {
	if len(raw) > maxBytes {
		return token{}, ReasonSize
	}
	if strings.Count(raw, ".") != 2 {
		return token{}, ReasonMalformed
	}
	lastDot := strings.LastIndexByte(raw, '.')
	header64, rest, _ := strings.Cut(raw, ".")
	payload64, signature64, _ := strings.Cut(rest, ".")

	header, ok1 := decodeSegment(header64)
	payload, ok2 := decodeSegment(payload64)
	signature, ok3 := decodeSegment(signature64)
	if !ok1 || !ok2 || !ok3 {
		return token{}, ReasonMalformed
	}

	members, err := decodeObject(header)
	if err != nil {
		return token{}, ReasonHeader
	}
	for _, name := range refusedMembers {
		if _, there := members[name]; there {
			return token{}, ReasonExtension
		}
	}
	t := token{signed: raw[:lastDot], payload: payload, signature: signature}
	if t.algorithm, ok1 = members["alg"].(string); !ok1 || !slices.Contains(algorithms, t.algorithm) {
		return token{}, ReasonAlgorithm
	}
	if kid, there := members["kid"]; there {
		t.hasKeyID = true
		if t.keyID, ok1 = kid.(string); !ok1 || t.keyID == "" || len(t.keyID) > maxKeyID {
			return token{}, ReasonHeader
		}
	}
	if kind, there := members["typ"]; there {
		s, isText := kind.(string)
		if !isText {
			return token{}, ReasonHeader
		}
		t.kind = normalType(s)
	}
	return t, ReasonOK
}

// decodeSegment decodes base64url without padding. Go's decoder skips line ends even when strict, so the alphabet is
// checked first; strict mode refuses trailing bits that are not zero. Every token thus has exactly one spelling.
func decodeSegment(s string) ([]byte, bool) {
	if s == "" {
		return nil, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return nil, false
		}
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil
}

// normalType applies RFC 7515 4.1.9: the prefix "application/" may be left out, case does not matter.
func normalType(s string) string {
	return strings.TrimPrefix(strings.ToLower(s), "application/")
}
