package sagacodec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

// ErrRefused says that a payload is not what this package wrote at this place: damaged, changed, or moved here.
var ErrRefused = errors.New("sagacodec: the payload is refused")

// UnknownKeyError says that a payload was written under a key that the ring does not have.
type UnknownKeyError struct{ ID string }

// Error names the key and what to do.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("sagacodec: the payload was encrypted under key %.80q, which this ring does not have; put it back until no saga "+
		"that was written under it is remembered", e.ID)
}

// place is what is authenticated beside the payload; each part has its length before it, so that no two places look alike.
func place(header []byte, about saga.PayloadInfo) []byte {
	out := make([]byte, 0, 64+len(header)+len(about.Saga)+len(about.Kind)+len(about.Step))
	for _, part := range [][]byte{header, []byte(about.Saga), about.UID[:], []byte(about.Kind), []byte(about.Step)} {
		out = binary.AppendUvarint(out, uint64(len(part)))
		out = append(out, part...)
	}
	return binary.AppendVarint(out, about.Seq)
}
