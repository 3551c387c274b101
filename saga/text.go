package saga

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// PostgreSQL keeps no NUL in a text, and nothing that is no UTF-8; a record that it refuses would be written again and again.
// So what comes from outside is made fit before it is recorded: what a step fails with, and JSON of others' that was taken over.

const replacement = "\ufffd"

// isText reports whether every store can keep the string as it is.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// text makes a string fit for every store.
func text(s string) string {
	if isText(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, replacement), "\x00", replacement)
}

// textOf does the same for bytes. JSON's readers would make the same of it.
func textOf(b []byte) []byte {
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return b
	}
	return bytes.ReplaceAll(bytes.ToValidUTF8(b, []byte(replacement)), []byte{0}, []byte(replacement))
}

// truncate gives a text of at most n bytes and the mark that something is missing.
func truncate(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return text(s)
}

// check says what is wrong with an id for a new saga.
func (id ID) check() error {
	if id == "" || len(id) > maxName || !isText(string(id)) {
		return fmt.Errorf("%w: %.40q must have 1 to %d bytes of UTF-8, without NUL", ErrInvalidID, string(id), maxName)
	}
	return nil
}
