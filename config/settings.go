package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Setting is one key of the running settings.
type Setting struct {
	// Key is the path, as http.timeout.
	Key string
	// Value is the value for a person; a [Secret] is redacted.
	Value  string
	Origin Origin
	// Restart says that the sources hold another value, which waits for a restart.
	Restart bool

	raw any // for the comparison with another reload's
}

// settings lists all leaves of a value, ordered by key. n is where the value comes from, nil for a default.
func (s *schema) settings(v reflect.Value, path string, n *node) []Setting {
	var all []Setting
	switch {
	case s.kind == objectSchema:
		for _, f := range s.fields {
			all = append(all, f.schema.settings(v.FieldByIndex(f.index), join(path, f.key), n.child(f.key))...)
		}
	case s.kind == dictSchema:
		for it := v.MapRange(); it.Next(); {
			key := it.Key().String()
			all = append(all, s.elem.settings(it.Value(), join(path, key), n.child(key))...)
		}
	case s.kind == listSchema && s.elem.kind != leafSchema:
		for i := range v.Len() {
			all = append(all, s.elem.settings(v.Index(i), fmt.Sprintf("%s[%d]", path, i), n.item(i))...)
		}
	default:
		all = append(all, Setting{Key: path, Value: fmt.Sprint(v.Interface()), Origin: n.origin(""), raw: v.Interface()})
	}
	slices.SortFunc(all, func(a, b Setting) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// pin puts the old values of pinned fields into next and returns the keys of those that would have changed.
func (s *schema) pin(old, next reflect.Value, path string, inherited bool) []string {
	var kept []string
	for _, f := range s.fields {
		o, n, key := old.FieldByIndex(f.index), next.FieldByIndex(f.index), join(path, f.key)
		pinned := inherited || f.pinned
		switch {
		case f.schema.kind == objectSchema:
			kept = append(kept, f.schema.pin(o, n, key, pinned)...)
		case pinned && !reflect.DeepEqual(o.Interface(), n.Interface()):
			n.Set(o)
			kept = append(kept, key)
		}
	}
	return kept
}

// Change is one key that a reload changed.
type Change struct {
	Key string
	// Old and New are the values for a person, with secrets redacted; empty where the key is absent.
	Old, New string
	// Origin is where the new value comes from.
	Origin Origin
}

// diff compares two ordered lists of settings.
func diff(old, next []Setting) []Change {
	var changes []Change
	for len(old) > 0 || len(next) > 0 {
		switch {
		case len(next) == 0 || (len(old) > 0 && old[0].Key < next[0].Key):
			changes = append(changes, Change{Key: old[0].Key, Old: old[0].Value})
			old = old[1:]
		case len(old) == 0 || next[0].Key < old[0].Key:
			changes = append(changes, Change{Key: next[0].Key, New: next[0].Value, Origin: next[0].Origin})
			next = next[1:]
		default:
			if !reflect.DeepEqual(old[0].raw, next[0].raw) {
				changes = append(changes, Change{Key: next[0].Key, Old: old[0].Value, New: next[0].Value, Origin: next[0].Origin})
			}
			old, next = old[1:], next[1:]
		}
	}
	return changes
}

// keepOrigins gives the settings below the kept keys their old origins and marks them.
func keepOrigins(next, old []Setting, kept []string) {
	for i := range next {
		below := func(key string) bool {
			rest, ok := strings.CutPrefix(next[i].Key, key)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		}
		if !slices.ContainsFunc(kept, below) {
			continue
		}
		next[i].Restart = true
		if j, ok := slices.BinarySearchFunc(old, next[i].Key, func(s Setting, key string) int { return cmp.Compare(s.Key, key) }); ok {
			next[i].Origin = old[j].Origin
		}
	}
}
