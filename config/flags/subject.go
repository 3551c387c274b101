package flags

import (
	"context"
	"reflect"
)

// subject is whom an evaluation is for.
type subject struct {
	key        string
	attributes map[string]any
}

type subjectKey struct{}

// WithSubject says for whom flags are evaluated from here on: a stable key, such as a customer's id, by which rollouts
// split, and attributes for rules. Attributes are copied: booleans, strings, numbers of any type, and slices and
// string-keyed maps of those; others read as null. The subject replaces that of ctx.
func WithSubject(ctx context.Context, key string, attributes map[string]any) context.Context {
	s := &subject{key: key, attributes: make(map[string]any, len(attributes))}
	for name, v := range attributes {
		s.attributes[name] = normal(reflect.ValueOf(v), 0)
	}
	return context.WithValue(ctx, subjectKey{}, s)
}

func subjectFrom(ctx context.Context) *subject {
	if s, ok := ctx.Value(subjectKey{}).(*subject); ok {
		return s
	}
	return &subject{}
}

func (s *subject) attribute(path []string) (any, bool) {
	if len(path) == 1 && path[0] == "targetingKey" {
		return s.key, s.key != ""
	}
	var at any = s.attributes
	for _, name := range path {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = object[name]; !ok {
			return nil, false
		}
	}
	return at, at != nil
}

// normal brings Go values into the few types that rules know.
func normal(v reflect.Value, depth int) any {
	if !v.IsValid() || depth > maxRuleDepth {
		return nil
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return float64(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return float64(v.Uint())
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = normal(v.Index(i), depth+1)
		}
		return list
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return nil
		}
		object := make(map[string]any, v.Len())
		for it := v.MapRange(); it.Next(); {
			object[it.Key().String()] = normal(it.Value(), depth+1)
		}
		return object
	case reflect.Interface, reflect.Pointer:
		return normal(v.Elem(), depth+1)
	default:
		return nil
	}
}
