package flags

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxJSONDepth bounds the nesting of a file, before anything is made of it.
const maxJSONDepth = 64

// value is JSON with line numbers, so that a refusal can say where.
type value struct {
	line   int
	scalar any // nil, bool, float64 or string; for lists and objects nil
	kind   valueKind
	items  []*value
	keys   []string
	fields map[string]*value
}

type valueKind int

const (
	scalarValue valueKind = iota
	listValue
	objectValue
)

func (v *value) text() (string, bool) {
	s, ok := v.scalar.(string)
	return s, ok
}

func (v *value) isNull() bool { return v.kind == scalarValue && v.scalar == nil }

// plain turns a value into what encoding/json would give.
func (v *value) plain() any {
	switch v.kind {
	case listValue:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.plain()
		}
		return list
	case objectValue:
		object := make(map[string]any, len(v.fields))
		for key, field := range v.fields {
			object[key] = field.plain()
		}
		return object
	default:
		return v.scalar
	}
}

type jsonReader struct {
	decoder *json.Decoder
	data    []byte
	offset  int64
	line    int
}

// parseJSON reads one value and refuses duplicate keys, which encoding/json lets pass. Its errors begin with the line.
func parseJSON(data []byte) (*value, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("1: the file is empty")
	}
	r := &jsonReader{decoder: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	v, err := r.next(0)
	if err == nil {
		if _, err = r.decoder.Token(); errors.Is(err, io.EOF) {
			return v, nil
		}
		if err == nil {
			err = errors.New("there is something after the end")
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("%d: not valid JSON: %w", r.at(), err)
}

// at counts lines up to where the decoder is.
func (r *jsonReader) at() int {
	offset := min(r.decoder.InputOffset(), int64(len(r.data)))
	r.line += bytes.Count(r.data[r.offset:offset], []byte{'\n'})
	r.offset = offset
	return r.line
}

func (r *jsonReader) next(depth int) (*value, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	v := &value{line: r.at()}
	switch token {
	case json.Delim('['):
		v.kind = listValue
		for r.decoder.More() {
			item, err := r.next(depth + 1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, item)
		}
	case json.Delim('{'):
		v.kind, v.fields = objectValue, map[string]*value{}
		for r.decoder.More() {
			name, err := r.decoder.Token()
			if err != nil {
				return nil, err
			}
			key, _ := name.(string)
			if _, ok := v.fields[key]; ok {
				return nil, fmt.Errorf("the key %q is here twice", key)
			}
			if v.fields[key], err = r.next(depth + 1); err != nil {
				return nil, err
			}
			v.keys = append(v.keys, key)
		}
	default:
		v.scalar = token
		return v, nil
	}
	_, err = r.decoder.Token() // the closing bracket, or what is there instead
	return v, err
}
