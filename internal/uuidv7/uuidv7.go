// Package uuidv7 makes and parses the time-ordered ids of RFC 9562, which keep B-tree inserts at the right-hand edge.
package uuidv7

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// ID is a UUID.
type ID [16]byte

// New makes an id of the current millisecond; the rest is random.
func New() ID {
	var id ID
	_, _ = rand.Read(id[6:]) // never fails: crypto/rand ends the program first
	ms := uint64(time.Now().UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String gives the usual form of 36 characters.
func (id ID) String() string { return string(id.Append(make([]byte, 0, 36))) }

// Append appends the form of [ID.String] to dst.
func (id ID) Append(dst []byte) []byte {
	var out [36]byte
	hex.Encode(out[0:8], id[0:4])
	hex.Encode(out[9:13], id[4:6])
	hex.Encode(out[14:18], id[6:8])
	hex.Encode(out[19:23], id[8:10])
	hex.Encode(out[24:36], id[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return append(dst, out[:]...)
}

// Parse reads the form of [ID.String], in either case.
func Parse(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("%.40q is no UUID", s)
	}
	_, err := hex.Decode(id[:], []byte(s[0:8]+s[9:13]+s[14:18]+s[19:23]+s[24:36]))
	if err != nil {
		return ID{}, fmt.Errorf("%.40q is no UUID", s)
	}
	return id, nil
}
