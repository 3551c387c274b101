package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// wants names a leaf's type for a person.
func (s *schema) wants() string {
	switch {
	case s.typ == nil:
		return "a value"
	case s.typ == durationType:
		return `a duration such as "5s"`
	case s.isText():
		return "a text"
	}
	switch s.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "an integer"
	}
}

func (s *schema) isText() bool { return reflect.PointerTo(s.typ).Implements(unmarshalerType) }

// decodeScalar is strict about what a file says and lenient about the types of text from outside, which has none.
func (s *schema) decodeScalar(n *node, v reflect.Value) error {
	if s.typ == durationType {
		d, err := time.ParseDuration(n.text)
		if err != nil {
			return fmt.Errorf("must be %s, not %s", s.wants(), quote(n.text))
		}
		v.SetInt(int64(d))
		return nil
	}
	if s.isText() || s.typ.Kind() == reflect.String {
		return s.decodeText(n, v)
	}
	if n.tag == "!!str" || n.tag == "!!timestamp" {
		return fmt.Errorf("must be %s, not the text %s", s.wants(), quote(n.text))
	}
	switch s.typ.Kind() {
	case reflect.Bool:
		if n.text != "true" && n.text != "false" {
			return fmt.Errorf("must be true or false, not %s", quote(n.text))
		}
		v.SetBool(n.text == "true")
		return nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(n.text, s.typ.Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("must be a number, not %s", quote(n.text))
		}
		v.SetFloat(f)
		return nil
	default:
		return s.decodeInt(n.text, v)
	}
}

// decimal leaves out forms that people read differently: 010, 1_000, 0x10, 1e3.
var decimal = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)

func (s *schema) decodeInt(text string, v reflect.Value) error {
	if !decimal.MatchString(text) {
		return fmt.Errorf("must be an integer in plain digits, not %s", quote(text))
	}
	text = strings.TrimPrefix(text, "+")
	if v.CanInt() {
		i, err := strconv.ParseInt(text, 10, s.typ.Bits())
		if err != nil {
			return fmt.Errorf("must fit in %v, not %s", s.typ.Kind(), quote(text))
		}
		v.SetInt(i)
		return nil
	}
	u, err := strconv.ParseUint(text, 10, s.typ.Bits())
	if err != nil {
		return fmt.Errorf("must be 0 or more and fit in %v, not %s", s.typ.Kind(), quote(text))
	}
	v.SetUint(u)
	return nil
}

func (s *schema) decodeText(n *node, v reflect.Value) error {
	if n.tag != "" && n.tag != "!!str" && (n.tag != "!!timestamp" || !s.isText()) {
		return fmt.Errorf("must be a text, not %s; put it in quotes", n.describe())
	}
	if !s.isText() {
		v.SetString(n.text)
		return nil
	}
	target, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	if !ok {
		return errors.New("cannot be set")
	}
	return target.UnmarshalText([]byte(n.text))
}

// splitList reads text from outside as a list: separated by commas, blanks around them dropped, empty text for the empty list.
func splitList(n *node) *node {
	list := &node{kind: listNode, at: n.at}
	if strings.TrimSpace(n.text) == "" {
		return list
	}
	for part := range strings.SplitSeq(n.text, ",") {
		list.items = append(list.items, &node{kind: scalarNode, text: strings.TrimSpace(part), at: n.at})
	}
	return list
}

// quote shows a value in a message, shortened.
func quote(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		text = string(runes[:60]) + "…"
	}
	return strconv.Quote(text)
}
