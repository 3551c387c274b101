package security

import (
	"strconv"
	"strings"
)

// EncodeKey joins parts into one text so that different lists never give the same text: every part is preceded by its
// length. Joining with a separator would let "a:b","c" and "a","b:c" share a rate limit or a cache entry.
func EncodeKey(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(p)
	}
	return b.String()
}
