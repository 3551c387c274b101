package sagatest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/marty-framework/mmf/saga"
)

// placeCodec is the codec of the engines of [Explore], so that sagas with sensitive parts run there as they are. It hides nothing,
// but like a real one it refuses what was written in another place.
type placeCodec struct{}

func (placeCodec) Encode(plain []byte, about saga.PayloadInfo) ([]byte, error) {
	return append(placeOf(about), plain...), nil
}

func (placeCodec) Decode(stored []byte, about saga.PayloadInfo) ([]byte, error) {
	plain, ok := bytes.CutPrefix(stored, placeOf(about))
	if !ok {
		return nil, errors.New("sagatest: the payload was written in another place")
	}
	return plain, nil
}

func placeOf(about saga.PayloadInfo) []byte { return fmt.Appendf(nil, "%q\n", fmt.Sprint(about)) }

// opened is a journal with its payloads in the open.
func (r *run) opened(id saga.ID, records []saga.Record) []saga.Record {
	if !slices.ContainsFunc(records, func(one saga.Record) bool { return one.Sealed != nil }) {
		return records
	}
	engine, err := saga.New(saga.Config{Codec: placeCodec{}, Publish: (&World{r}).Write}, r.store, r.def)
	if err != nil {
		return records // the judge says what it cannot read
	}
	if shown, err := engine.Reveal(r.ctx, id); err == nil {
		return shown
	}
	return records
}
