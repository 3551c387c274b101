package observability

import (
	"regexp"
	"strings"
)

// Secrets that are recognised by their shape inside a text. Each pattern runs only when a cheap look finds its trigger.
var (
	jwtPattern    = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(\.[A-Za-z0-9_-]*)?`)
	bearerPattern = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`)
	urlPattern    = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@]*):[^\s@/]+@`)
	pemPattern    = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
	assignPattern = regexp.MustCompile(`(?i)((?:password|passwd|pwd|passphrase|secret|token|api[_-]?key)["']?\s*[=:]\s*)` +
		`("[^"]*"|'[^']*'|[^\s,;&"']+)`)
	cardPattern    = regexp.MustCompile(`\b\d(?:[ -]?\d){12,18}\b`)
	assignTriggers = [...]string{"password", "passwd", "pwd", "passphrase", "secret", "token", "api_key", "api-key", "apikey"}
)

// MaskText hides secrets that are recognised by their shape: JSON web tokens, bearer and basic credentials, passwords in
// URLs and in name=value pairs, private keys, and card numbers with a valid check digit. The log core applies it to every
// text; use it where a text leaves the process by another way. A secret without a shape is not recognised: keep those
// in fields with telling names.
func MaskText(s string) string { return maskText(s) }

func maskText(s string) string {
	if len(s) < 8 {
		return s
	}
	if strings.Contains(s, "PRIVATE KEY-----") {
		s = pemPattern.ReplaceAllString(s, Redacted)
	}
	if strings.Contains(s, "eyJ") {
		s = jwtPattern.ReplaceAllString(s, Redacted)
	}
	if strings.Contains(s, "://") && strings.Contains(s, "@") {
		s = urlPattern.ReplaceAllString(s, "$1:"+Redacted+"@")
	}
	if strings.ContainsAny(s, " \t") && (containsFold(s, "bearer") || containsFold(s, "basic")) {
		s = bearerPattern.ReplaceAllString(s, "$1 "+Redacted)
	}
	if strings.ContainsAny(s, "=:") {
		for _, trigger := range assignTriggers {
			if containsFold(s, trigger) {
				s = assignPattern.ReplaceAllString(s, "${1}"+Redacted)
				break
			}
		}
	}
	return maskCards(s)
}

// maskCards hides digit groups that are long enough for a card and have its check digit.
func maskCards(s string) string {
	digits := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			if digits++; digits >= 13 {
				return cardPattern.ReplaceAllStringFunc(s, func(m string) string {
					if luhn(m) {
						return Redacted
					}
					return m
				})
			}
		} else if s[i] != ' ' && s[i] != '-' {
			digits = 0
		}
	}
	return s
}

// luhn checks the last digit of a card number by the algorithm of ISO/IEC 7812-1; other characters are passed over. No
// card begins with 0, 1, 7, 8 or 9, which lets times in nanoseconds and most serial numbers through unharmed.
func luhn(s string) bool {
	if s[0] < '2' || s[0] > '6' {
		return false
	}
	sum, double := 0, false
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] < '0' || s[i] > '9' {
			continue
		}
		d := int(s[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		double = !double
	}
	return sum%10 == 0
}

// containsFold is strings.Contains without regard to ASCII case; sub is lower case.
func containsFold(s, sub string) bool {
	for i := 0; i+len(sub) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(sub)], sub) {
			return true
		}
	}
	return false
}
