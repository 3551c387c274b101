package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxAttribute is the longest attribute and key of an [Event], in bytes.
const MaxAttribute = 1024

// Content types that [Event.Payload] derives.
const (
	ContentTypeJSON   = "application/json"
	ContentTypeBinary = "application/octet-stream"
)

// attributePrefix marks the headers that carry attributes.
const attributePrefix = "ce_"

// Validate reports everything that keeps the event from being sent: a missing Topic, Key or Type, attributes that are too
// long or hold what would harm a log line or a header, and attributes among the headers. Empty ID, Source and Time are
// fine: who sends fills them.
func (e Event) Validate() error {
	var errs []error
	for _, a := range []struct {
		name, value string
		required    bool
	}{
		{"Topic", e.Topic, true},
		{"Key", e.Key, true},
		{"Type", e.Type, true},
		{"ID", e.ID, false},
		{"Source", e.Source, false},
		{"Subject", e.Subject, false},
	} {
		switch {
		case a.value == "" && a.required:
			errs = append(errs, fmt.Errorf("%s is empty", a.name))
		case len(a.value) > MaxAttribute:
			errs = append(errs, fmt.Errorf("%s has %d bytes, at most %d are allowed", a.name, len(a.value), MaxAttribute))
		case !utf8.ValidString(a.value):
			errs = append(errs, fmt.Errorf("%s is not UTF-8", a.name))
		case strings.ContainsFunc(a.value, unicode.IsControl):
			errs = append(errs, fmt.Errorf("%s contains control characters", a.name))
		}
	}
	for name, value := range e.Headers {
		switch {
		case name == "" || strings.HasPrefix(name, attributePrefix):
			errs = append(errs, fmt.Errorf("header %q is not allowed: attributes have fields of their own", name))
		case !utf8.ValidString(name) || !utf8.ValidString(value) || strings.Contains(name+value, "\x00"):
			errs = append(errs, fmt.Errorf("header %q is not UTF-8 text", name))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("data: event of type %q: %w", e.Type, errors.Join(errs...))
	}
	return nil
}

// Payload encodes Data and names its content type: []byte and [json.RawMessage] as they are, anything else as JSON. A
// "content-type" among the headers wins over the derived one. The bytes are Data's own, not a copy.
func (e Event) Payload() (body []byte, contentType string, err error) {
	switch d := e.Data.(type) {
	case []byte:
		body, contentType = d, ContentTypeBinary
	case json.RawMessage:
		body, contentType = d, ContentTypeJSON
	default:
		contentType = ContentTypeJSON
		if body, err = json.Marshal(d); err != nil {
			return nil, "", fmt.Errorf("data: event of type %q: encode Data: %w", e.Type, err)
		}
	}
	if given := e.Headers["content-type"]; given != "" {
		contentType = given
	}
	return body, contentType, nil
}
