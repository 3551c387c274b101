package config

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"

	"github.com/marty-framework/mmf/config/internal/watch"
)

// loader turns contents of files into a value of one type.
type loader struct {
	schema   *schema
	options  Options
	defaults reflect.Value
}

// loaded is a value with the tree that tells its origins.
type loaded struct {
	value reflect.Value // settable
	tree  *node
}

// build makes a new value from all layers, checked and validated, or an *Error.
func (l *loader) build(contents []watch.Content) (loaded, error) {
	var found problems
	var tree *node
	layer := func(n *node) {
		if n == nil {
			return
		}
		// Each layer is checked by itself, so that a mistake is found also where a stronger layer hides it.
		l.schema.decode(n, reflect.New(l.schema.typ).Elem(), "", &found)
		tree = merge(tree, n)
	}
	for i, c := range contents {
		switch {
		case c.Err == nil:
			layer(parseYAML(c.Path, c.Data, &found))
		case errors.Is(c.Err, fs.ErrNotExist) && l.options.Files[i].Optional:
		case errors.Is(c.Err, fs.ErrNotExist):
			found.add(Origin{Kind: OriginFile, Name: c.Path}, "", "the file does not exist")
		default:
			found.add(Origin{Kind: OriginFile, Name: c.Path}, "", "%w", c.Err)
		}
	}
	layer(l.env(tree, l.defaults, &found))
	layer(l.overrides(&found))
	if err := found.err(l.options.Files); err != nil {
		return loaded{}, err
	}

	result := loaded{value: l.schema.copyValue(l.defaults), tree: tree}
	if tree != nil {
		l.schema.decode(tree, result.value, "", &found)
	}
	l.schema.validate(result.value, "", tree, &found)
	return result, found.err(l.options.Files)
}

type validator interface{ Validate() error }

var validatorType = reflect.TypeFor[validator]()

// validate asks every value that has a method Validate, the innermost first. n is where the value comes from, nil for a default.
func (s *schema) validate(v reflect.Value, path string, n *node, found *problems) {
	switch s.kind {
	case objectSchema:
		for _, f := range s.fields {
			f.schema.validate(v.FieldByIndex(f.index), join(path, f.key), n.child(f.key), found)
		}
	case listSchema:
		for i := range v.Len() {
			s.elem.validate(v.Index(i), fmt.Sprintf("%s[%d]", path, i), n.item(i), found)
		}
	case dictSchema:
		for it := v.MapRange(); it.Next(); {
			elem := reflect.New(s.typ.Elem()).Elem() // a map's elements have no address for pointer methods
			elem.Set(it.Value())
			key := it.Key().String()
			s.elem.validate(elem, join(path, key), n.child(key), found)
		}
	default:
	}
	if s.typ == nil || !reflect.PointerTo(s.typ).Implements(validatorType) {
		return
	}
	target, ok := v.Addr().Interface().(validator)
	if !ok {
		return
	}
	for _, err := range leaves(guard("Validate", target.Validate)) {
		if err == nil {
			continue
		}
		key, sub := path, ""
		var at *invalidError
		if errors.As(err, &at) {
			sub = at.key
			key = join(path, sub)
			if err == error(at) { //nolint:errorlint // only the outermost form has its key told already
				err = at.err
			}
		}
		origin := n.origin(sub)
		if key == "" {
			origin = Origin{} // of all settings together
		}
		*found = append(*found, Problem{Origin: origin, Key: key, Err: err})
	}
}

// guard turns a panic of the application's code into an error: a value that makes it panic is refused like one it returns
// an error for.
func guard(what string, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s panicked: %v", what, r)
		}
	}()
	return f()
}

// origin finds where the key below n comes from; the elements of a list count as the list.
func (n *node) origin(key string) Origin {
	base, _, _ := strings.Cut(key, "[")
	if found := n.get(base); found != nil && found.kind != nullNode {
		return found.at
	}
	return Origin{Kind: OriginDefault}
}

func (n *node) child(key string) *node {
	if n == nil || n.kind != mapNode {
		return nil
	}
	return n.children[key]
}

// item is the i'th element of a list; of a list that was given as text, the text.
func (n *node) item(i int) *node {
	if n == nil || n.kind != listNode || i >= len(n.items) {
		return n
	}
	return n.items[i]
}
