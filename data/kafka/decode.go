package kafka

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/data"
)

// Received is one record as a handler sees it: the event's attributes and where the record stood.
type Received struct {
	// Event has the attributes. Event.Topic has no [Config.Prefix], Event.Headers has every header that is no attribute, and Event.Data
	// is Value.
	data.Event
	// Value is the payload as it was sent; nil for a tombstone. Do not change it.
	Value []byte
	// ContentType is the payload's media type, empty when the sender named none.
	ContentType string
	// Extensions are CloudEvents attributes beyond the core ones, without their ce_ prefix. Nil when there are none.
	Extensions map[string]string
	// Partition and Offset say where the record stood.
	Partition int32
	Offset    int64
	// Timestamp is the record's own time, which the producer or the broker set.
	Timestamp time.Time
	// Attempt counts the calls of the handler for this record in this process, from 1.
	Attempt int
}

// DecodeError says why a record is no event.
type DecodeError struct {
	Topic     string
	Partition int32
	Offset    int64
	Reason    string
}

// Error tells where the record stood and what was wrong with it.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("kafka: record %s/%d@%d is no CloudEvent: %s", e.Topic, e.Partition, e.Offset, e.Reason)
}

// Bounds on what one record may carry in headers; a record beyond them is refused before it costs memory.
const (
	maxHeaders     = 128
	maxHeaderBytes = 64 << 10
)

// Decode reads a record in CloudEvents binary mode. It is strict: a wrong or missing ce_specversion, a missing or malformed id,
// type, source or time, an attribute given twice, or headers beyond all measure are a [*DecodeError]. Headers other than
// attributes may repeat; the last one counts.
func Decode(r *kgo.Record) (Received, error) {
	got := Received{Value: r.Value, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp}
	got.Topic, got.Key, got.Data = r.Topic, string(r.Key), r.Value
	refuse := func(format string, args ...any) (Received, error) {
		return got, &DecodeError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Reason: fmt.Sprintf(format, args...)}
	}
	if len(r.Headers) > maxHeaders {
		return refuse("%d headers, at most %d are allowed", len(r.Headers), maxHeaders)
	}
	attributes := make(map[string]string, 8)
	got.Headers = make(map[string]string, len(r.Headers))
	size := 0
	for _, h := range r.Headers {
		if size += len(h.Key) + len(h.Value); size > maxHeaderBytes {
			return refuse("headers have more than %d bytes", maxHeaderBytes)
		}
		if !strings.HasPrefix(h.Key, attributePrefix) && h.Key != headerContentType {
			got.Headers[h.Key] = string(h.Value)
			continue
		}
		if _, twice := attributes[h.Key]; twice {
			return refuse("header %.64q is given twice", h.Key)
		}
		attributes[h.Key] = string(h.Value)
	}
	if err := got.take(attributes); err != nil {
		return refuse("%s", err)
	}
	if !utf8.ValidString(got.Key) {
		return refuse("the key is not UTF-8")
	}
	return got, nil
}

// take moves the attributes into their fields; what remains are extensions.
func (r *Received) take(attributes map[string]string) error {
	if v := attributes[headerSpecVersion]; v != specVersion {
		return fmt.Errorf("%s is %.32q, only %q is understood", headerSpecVersion, v, specVersion)
	}
	delete(attributes, headerSpecVersion)
	if v := attributes[headerContentType]; strings.HasPrefix(v, "application/cloudevents") {
		return fmt.Errorf("structured mode (%.64q) is not understood, only binary mode is", v)
	}
	for _, a := range []struct {
		name     string
		into     *string
		required bool
	}{
		{headerID, &r.ID, true},
		{headerType, &r.Type, true},
		{headerSource, &r.Source, true},
		{headerSubject, &r.Subject, false},
		{headerContentType, &r.ContentType, false},
	} {
		v, ok := attributes[a.name]
		if !ok && !a.required {
			continue
		}
		if err := validateAttribute(a.name, v); err != nil {
			return err
		}
		*a.into = v
		delete(attributes, a.name)
	}
	r.Time = r.Timestamp
	if v, ok := attributes[headerTime]; ok {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil || !representable(t) {
			return fmt.Errorf("%s %.64q is no RFC 3339 time", headerTime, v)
		}
		r.Time = t
		delete(attributes, headerTime)
	}
	for name, v := range attributes {
		if r.Extensions == nil {
			r.Extensions = make(map[string]string, len(attributes))
		}
		r.Extensions[strings.TrimPrefix(name, attributePrefix)] = v
	}
	return nil
}

// representable keeps out times that RFC 3339 cannot write in UTC.
func representable(t time.Time) bool { return t.UTC().Year() >= 0 && t.UTC().Year() <= 9999 }
