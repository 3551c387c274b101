package config

import (
	"fmt"
	"reflect"
)

// decode fills v, which must be settable, from n, and collects what does not fit.
func (s *schema) decode(n *node, v reflect.Value, path string, found *problems) {
	switch s.kind {
	case objectSchema:
		s.decodeObject(n, v, path, found)
	case listSchema:
		s.decodeList(n, v, path, found)
	case dictSchema:
		s.decodeDict(n, v, path, found)
	default:
		if n.kind != scalarNode {
			found.add(n.at, path, "must be %s, not %s", s.wants(), n.describe())
			return
		}
		if err := s.decodeScalar(n, v); err != nil {
			found.add(n.at, path, "%w", err)
		}
	}
}

func (s *schema) decodeObject(n *node, v reflect.Value, path string, found *problems) {
	if n.kind == nullNode {
		return
	}
	if n.kind != mapNode {
		found.add(n.at, path, "must be a section with keys, not %s", n.describe())
		return
	}
	for _, key := range n.keys {
		child := n.children[key]
		f := s.field(key)
		if f == nil {
			found.add(child.at, join(path, key), "unknown key%s", didYouMean(key, s.keys()))
			continue
		}
		f.schema.decode(child, v.FieldByIndex(f.index), join(path, key), found)
	}
}

func (s *schema) decodeList(n *node, v reflect.Value, path string, found *problems) {
	if n.kind == scalarNode && n.tag == "" {
		n = splitList(n)
	}
	if n.kind != listNode {
		found.add(n.at, path, "must be a list, not %s", n.describe())
		return
	}
	list := reflect.MakeSlice(s.typ, len(n.items), len(n.items))
	for i, item := range n.items {
		s.elem.decode(item, list.Index(i), fmt.Sprintf("%s[%d]", path, i), found)
	}
	v.Set(list)
}

func (s *schema) decodeDict(n *node, v reflect.Value, path string, found *problems) {
	if n.kind == nullNode {
		return
	}
	if n.kind != mapNode {
		found.add(n.at, path, "must be a section with keys, not %s", n.describe())
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(s.typ, len(n.keys)))
	}
	for _, key := range n.keys {
		k := reflect.ValueOf(key).Convert(s.typ.Key())
		elem := reflect.New(s.typ.Elem()).Elem()
		if old := v.MapIndex(k); old.IsValid() {
			elem.Set(old)
		}
		s.elem.decode(n.children[key], elem, join(path, key), found)
		v.SetMapIndex(k, elem)
	}
}

// copyValue copies what decode could change in place: slices and maps at any depth.
func (s *schema) copyValue(v reflect.Value) reflect.Value {
	out := reflect.New(s.typ).Elem()
	out.Set(v)
	switch s.kind {
	case objectSchema:
		for _, f := range s.fields {
			out.FieldByIndex(f.index).Set(f.schema.copyValue(v.FieldByIndex(f.index)))
		}
	case listSchema:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(s.typ, v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(s.elem.copyValue(v.Index(i)))
			}
		}
	case dictSchema:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(s.typ, v.Len()))
			for it := v.MapRange(); it.Next(); {
				out.SetMapIndex(it.Key(), s.elem.copyValue(it.Value()))
			}
		}
	default:
	}
	return out
}
