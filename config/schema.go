package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

type schemaKind int

const (
	leafSchema schemaKind = iota
	objectSchema
	listSchema
	dictSchema
)

// schema is what a type accepts, found once by reflection.
type schema struct {
	kind   schemaKind
	typ    reflect.Type
	fields []field // of an object
	elem   *schema // of a list or dict
}

type field struct {
	key    string
	index  []int
	schema *schema
	// pinned fields keep their value until a restart.
	pinned bool
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	secretType      = reflect.TypeFor[Secret]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// schemaOf describes a struct type; the error joins everything about the type that cannot work.
func schemaOf(typ reflect.Type) (*schema, error) {
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("config: %v must be a struct", typ)
	}
	b := &schemaBuilder{building: map[reflect.Type]bool{}}
	s := b.build(typ, "", false)
	if len(b.problems) > 0 {
		return nil, errors.Join(b.problems...)
	}
	return s, nil
}

type schemaBuilder struct {
	building map[reflect.Type]bool
	problems []error
}

func (b *schemaBuilder) fail(path, format string, args ...any) *schema {
	b.problems = append(b.problems, fmt.Errorf("config: the type of %s %s", path, fmt.Sprintf(format, args...)))
	return &schema{}
}

// build describes typ; inList is true below a slice or map, where no element has an old value to keep.
func (b *schemaBuilder) build(typ reflect.Type, path string, inList bool) *schema {
	if typ == durationType || reflect.PointerTo(typ).Implements(unmarshalerType) {
		return &schema{typ: typ}
	}
	switch typ.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &schema{typ: typ}
	case reflect.Slice:
		return &schema{kind: listSchema, typ: typ, elem: b.build(typ.Elem(), path+"[]", true)}
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			return b.fail(path, "has keys that are not strings")
		}
		return &schema{kind: dictSchema, typ: typ, elem: b.build(typ.Elem(), join(path, "*"), true)}
	case reflect.Struct:
	default:
		return b.fail(path, "is %v, which no text can fill; tag the field `config:\"-\"` to leave it out", typ)
	}
	if b.building[typ] {
		return b.fail(path, "contains itself (%v)", typ)
	}
	b.building[typ] = true
	defer delete(b.building, typ)
	s := &schema{kind: objectSchema, typ: typ}
	b.fields(s, typ, nil, path, inList)
	return s
}

func (b *schemaBuilder) fields(s *schema, typ reflect.Type, index []int, path string, inList bool) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		at := append(append([]int(nil), index...), i)
		tag, tagged := f.Tag.Lookup("config")
		if tag == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && f.Type != secretType {
			b.fields(s, f.Type, at, path, inList)
			continue
		}
		if !f.IsExported() {
			continue
		}
		key := tag
		if key == "" {
			key = snakeCase(f.Name)
		}
		here := join(path, key)
		if strings.ContainsAny(key, ". =") {
			b.fail(here, "has a key with a dot, a space or an equals sign")
		}
		for _, other := range s.fields {
			if other.key == key {
				b.fail(here, "has two fields with this key")
			}
		}
		reload, reloadTagged := f.Tag.Lookup("reload")
		if reloadTagged && reload != "no" {
			b.fail(here, "has the tag reload:%q; only \"no\" is known", reload)
		}
		if reloadTagged && inList {
			b.fail(here, "has the tag reload below a list or map; tag that instead")
		}
		s.fields = append(s.fields, field{key: key, index: at, schema: b.build(f.Type, here, inList), pinned: reloadTagged})
	}
}

func (s *schema) field(key string) *field {
	for i := range s.fields {
		if s.fields[i].key == key {
			return &s.fields[i]
		}
	}
	return nil
}

func (s *schema) keys() []string {
	keys := make([]string, len(s.fields))
	for i, f := range s.fields {
		keys[i] = f.key
	}
	return keys
}

// snakeCase turns MaxBody into max_body, DSN into dsn and HTTPAddr into http_addr.
func snakeCase(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(runes[i-1]) || (i+1 < len(runes) && unicode.IsLower(runes[i+1]))) && runes[i-1] != '_' {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
