package ratelimit

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"
)

// maxRawKey is the longest key that is stored as it is. A longer one is stored as its SHA-512 in hexadecimal behind an
// "h", which is 129 bytes and so never equal to a key that was stored as it is.
const maxRawKey = 128

// compact bounds the memory that a key takes; callers choose keys of any length.
func compact(key string) string {
	if len(key) <= maxRawKey {
		return key
	}
	sum := sha512.Sum512([]byte(key))
	return "h" + hex.EncodeToString(sum[:])
}

// redisKey writes a key so that different pairs of namespace and key never meet: a namespace has no colon, and
// everything unusual in the key is escaped. Braces are escaped too: in Redis Cluster they would let a caller choose the
// slot, and so gather its keys on one node.
func redisKey(namespace, key string) string {
	const digits = "0123456789ABCDEF"
	key = compact(key)
	var b strings.Builder
	b.Grow(len(namespace) + 1 + len(key))
	b.WriteString(namespace)
	b.WriteByte(':')
	for i := range len(key) {
		if c := key[i]; isPlain(c) || c == ':' || c == '@' || c == '/' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

func validNamespace(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if !isPlain(s[i]) {
			return false
		}
	}
	return true
}
