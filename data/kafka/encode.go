package kafka

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/data"
)

// Header names of CloudEvents 1.0 in binary mode.
const (
	headerSpecVersion = "ce_specversion"
	headerID          = "ce_id"
	headerType        = "ce_type"
	headerSource      = "ce_source"
	headerSubject     = "ce_subject"
	headerTime        = "ce_time"
	headerContentType = "content-type"
	attributePrefix   = "ce_"
	specVersion       = "1.0"
)

// Encode turns an event into a record: attributes as headers, the payload as the value. What [data.Event.Validate] wants is
// required, and ID and Source; Time defaults to now. The record's topic has no [Config.Prefix]: [Client.Publish] adds it.
func Encode(ev data.Event) (*kgo.Record, error) {
	errs := []error{ev.Validate()}
	if err := validateName("event topic", ev.Topic); err != nil && ev.Topic != "" {
		errs = append(errs, err)
	}
	if ev.ID == "" || ev.Source == "" {
		errs = append(errs, errors.New("kafka: event has no ID or no Source"))
	}
	if !representable(ev.Time) {
		errs = append(errs, fmt.Errorf("kafka: event time %v is outside the years 0 to 9999", ev.Time))
	}
	value, contentType, err := ev.Payload()
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	all := make([]kgo.RecordHeader, 0, 7+len(ev.Headers))
	add := func(k, v string) { all = append(all, kgo.RecordHeader{Key: k, Value: []byte(v)}) }
	add(headerSpecVersion, specVersion)
	add(headerID, ev.ID)
	add(headerType, ev.Type)
	add(headerSource, ev.Source)
	add(headerTime, ev.Time.UTC().Format(time.RFC3339Nano))
	if ev.Subject != "" {
		add(headerSubject, ev.Subject)
	}
	add(headerContentType, contentType)
	// The record's own time is left to the moment of sending: the client measures its delivery timeout from it, so an event that
	// waited in an outbox while the brokers were away would be given up before it was sent. The event's time is in its header.
	return &kgo.Record{Topic: ev.Topic, Key: []byte(ev.Key), Value: value, Headers: append(all, extraHeaders(ev.Headers)...)}, nil
}

// extraHeaders sorts by name, so that one event always makes the same bytes.
func extraHeaders(headers map[string]string) []kgo.RecordHeader {
	out := make([]kgo.RecordHeader, 0, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if name != headerContentType {
			out = append(out, kgo.RecordHeader{Key: name, Value: []byte(headers[name])})
		}
	}
	return out
}

// validateAttribute keeps out what would harm a log line, a header or SQL text.
func validateAttribute(name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("attribute %q is missing or empty", name)
	case len(value) > data.MaxAttribute:
		return fmt.Errorf("attribute %q has %d bytes, at most %d are allowed", name, len(value), data.MaxAttribute)
	case !utf8.ValidString(value):
		return fmt.Errorf("attribute %q is not UTF-8", name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("attribute %q contains control characters", name)
	}
	return nil
}
