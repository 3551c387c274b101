package outbox

import (
	"context"
	"errors"

	"github.com/marty-framework/mmf/data"
)

// ErrPermanent is what a [Publisher]'s answer matches when the broker will never take this very record: it is too large,
// its topic's name is invalid. The relay parks such a record instead of sending it again.
var ErrPermanent = errors.New("outbox: the broker will never accept this event")

// Record is one written event on its way to the broker. Its ID, Source and Time are set, its Data is a []byte or, with
// JSON, a [json.RawMessage]; a content type other than those two imply is in Headers["content-type"].
type Record struct {
	data.Event
	// Attempt counts from 1 how often this record was handed to a publisher, as far as the database knows.
	Attempt int
}

// Publisher hands records to a broker. The Kafka client of MMF is one.
type Publisher interface {
	// Publish sends records and returns one answer per record, in the same order: nil only after the broker has
	// acknowledged the record durably, an error that matches [ErrPermanent] when it never will, any other error when
	// sending it again may help or when the outcome is unknown.
	//
	// Records of one topic and key arrive in the order in which they are given here: when one of them fails, those behind
	// it are not sent and get an error too. Publish returns soon after ctx ended. It does not keep the slice.
	Publish(ctx context.Context, records []Record) []error
}
