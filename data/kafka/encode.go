package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
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

// maxAttribute bounds id, type, source and subject, so that whoever stores them knows a size.
const maxAttribute = 1024

// Encode turns an event into a record: attributes as headers, the payload as the value. ID, Topic, Key, Type and Source are
// required; Time defaults to now. Payloads that are neither []byte nor [json.RawMessage] are encoded as JSON. A content-type in
// ev.Headers wins over the derived one (application/json, or application/octet-stream for []byte). The record's topic has no
// [Config.Prefix]: [Client.Publish] adds it.
func Encode(ev data.Event) (*kgo.Record, error) {
	var errs []error
	if err := validateName("event topic", ev.Topic); err != nil {
		errs = append(errs, err)
	}
	if ev.Key == "" {
		errs = append(errs, errors.New("kafka: event has no key: use the aggregate's id"))
	}
	for _, a := range []struct {
		name, value string
		required    bool
	}{{"id", ev.ID, true}, {"type", ev.Type, true}, {"source", ev.Source, true}, {"subject", ev.Subject, false}} {
		if a.required || a.value != "" {
			if err := validateAttribute(a.name, a.value); err != nil {
				errs = append(errs, fmt.Errorf("kafka: event: %w", err))
			}
		}
	}
	value, contentType, err := payload(ev.Data)
	if err != nil {
		errs = append(errs, fmt.Errorf("kafka: encode the payload of event %q: %w", ev.ID, err))
	}
	if !representable(ev.Time) {
		errs = append(errs, fmt.Errorf("kafka: event time %v is outside the years 0 to 9999", ev.Time))
	}
	headers, err := extraHeaders(ev.Headers)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	if given, ok := ev.Headers[headerContentType]; ok {
		contentType = given
	}
	all := make([]kgo.RecordHeader, 0, 7+len(headers))
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
	return &kgo.Record{
		Topic: ev.Topic, Key: []byte(ev.Key), Value: value, Headers: append(all, headers...), Timestamp: ev.Time,
	}, nil
}

func payload(v any) (value []byte, contentType string, err error) {
	switch d := v.(type) {
	case []byte:
		return d, "application/octet-stream", nil
	case json.RawMessage:
		return d, "application/json", nil
	default:
		value, err = json.Marshal(v)
		return value, "application/json", err
	}
}

// extraHeaders sorts by name, so that one event always makes the same bytes.
func extraHeaders(headers map[string]string) ([]kgo.RecordHeader, error) {
	var errs []error
	out := make([]kgo.RecordHeader, 0, len(headers))
	for k, v := range headers {
		switch {
		case k == headerContentType:
			continue
		case k == "" || strings.HasPrefix(k, attributePrefix):
			errs = append(errs, fmt.Errorf("kafka: event header %q is not allowed: attributes have fields of their own", k))
		default:
			out = append(out, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
	}
	slices.SortFunc(out, func(a, b kgo.RecordHeader) int { return strings.Compare(a.Key, b.Key) })
	return out, errors.Join(errs...)
}

// validateAttribute keeps out what would harm a log line, a header or SQL text.
func validateAttribute(name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("attribute %q is missing or empty", name)
	case len(value) > maxAttribute:
		return fmt.Errorf("attribute %q has %d bytes, at most %d are allowed", name, len(value), maxAttribute)
	case !utf8.ValidString(value):
		return fmt.Errorf("attribute %q is not UTF-8", name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("attribute %q contains control characters", name)
	}
	return nil
}
