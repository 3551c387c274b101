// Package sqltext answers the few questions about SQL text that the database drivers have.
package sqltext

import (
	"strconv"
	"strings"
)

// ReadOnly reports whether a statement can only read. It looks at the first keyword; a WITH or an EXPLAIN counts as
// reading when none of the writing keywords occurs outside of literals and comments. Unknown text counts as writing,
// which is the safe side: the answer decides on which connection a statement runs and whether it may be repeated.
func ReadOnly(sql string) bool {
	s := scanner{text: sql}
	switch s.word() {
	case "select", "values", "pragma", "show", "table":
		return true
	case "with", "explain":
		for w := s.word(); w != ""; w = s.word() {
			switch w {
			case "insert", "update", "delete", "replace", "merge":
				return false
			}
		}
		return true
	default:
		return false
	}
}

// Placeholders returns the highest N of the placeholders $N outside of literals and comments.
func Placeholders(sql string) int {
	s, highest := scanner{text: sql}, 0
	for w := s.word(); w != ""; w = s.word() {
		if n, err := strconv.Atoi(strings.TrimPrefix(w, "$")); err == nil && w[0] == '$' {
			highest = max(highest, n)
		}
	}
	return highest
}

// scanner yields the words of a statement without those in comments, string literals and quoted identifiers.
type scanner struct {
	text string
	pos  int
}

// word returns the next keyword, name or placeholder in lower case, empty at the end.
func (s *scanner) word() string {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		c := rest[0]
		switch {
		case strings.HasPrefix(rest, "--"):
			s.skipPast(rest, "\n", 2)
		case strings.HasPrefix(rest, "/*"):
			s.skipPast(rest, "*/", 2)
		case c == '\'', c == '"', c == '`':
			s.skipPast(rest, string(c), 1)
		case letter(c), c == '$':
			n := 1
			for n < len(rest) && (letter(rest[n]) || rest[n] == '$' || rest[n] >= '0' && rest[n] <= '9') {
				n++
			}
			s.pos += n
			return strings.ToLower(rest[:n])
		default:
			s.pos++
		}
	}
	return ""
}

// skipPast moves behind the next end that follows the first from bytes, or to the end of the text.
func (s *scanner) skipPast(rest, end string, from int) {
	i := strings.Index(rest[from:], end)
	if i < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos += from + i + len(end)
}

func letter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
