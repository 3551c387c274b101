package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth is how deep objects and arrays may nest in a token; real ones need four levels.
const maxDepth = 16

var (
	errNotObject = errors.New("oidc: not one JSON object")
	errDuplicate = errors.New("oidc: a member occurs twice")
	errDepth     = errors.New("oidc: nested too deeply")
	errName      = errors.New("oidc: a member's name has a control character")
)

// decodeObject decodes one JSON object more strictly than encoding/json does. A member that occurs twice is refused at
// every level, for readers disagree about which one counts. At the top level names that differ only in case count as
// twice, for Go matches struct fields without regard to case. Numbers stay json.Number, so none is rounded.
func decodeObject(data []byte) (map[string]any, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotObject
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	start, err := d.Token()
	if err != nil || start != json.Delim('{') {
		return nil, errNotObject
	}
	object, err := readObject(d, 1)
	if err != nil {
		return nil, err
	}
	folded := make(map[string]struct{}, len(object))
	for name := range object {
		if strings.ContainsFunc(name, unicode.IsControl) {
			return nil, errName
		}
		f := fold(name)
		if _, twice := folded[f]; twice {
			return nil, errDuplicate
		}
		folded[f] = struct{}{}
	}
	return object, nil
}

func readObject(d *json.Decoder, depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	object := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("oidc: read a member's name: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return nil, errNotObject
		}
		if _, twice := object[name]; twice {
			return nil, errDuplicate
		}
		if object[name], err = readValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readArray(d *json.Decoder, depth int) ([]any, error) {
	if depth > maxDepth {
		return nil, errDepth
	}
	array := []any{}
	for d.More() {
		v, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	_, err := d.Token()
	return array, err
}

func readValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("oidc: read a value: %w", err)
	}
	switch t {
	case json.Delim('{'):
		return readObject(d, depth+1)
	case json.Delim('['):
		return readArray(d, depth+1)
	default:
		return t, nil
	}
}

// fold maps names that encoding/json would take for one another to the same text.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}
