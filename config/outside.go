package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// leafPaths lists every key that text from outside can set: leaves and lists, and below maps the keys that tree and defaults have.
func (s *schema) leafPaths(tree *node, defaults reflect.Value, path []string, visit func(path []string)) {
	child := func(key string) *node {
		if tree == nil || tree.kind != mapNode {
			return nil
		}
		return tree.children[key]
	}
	switch s.kind {
	case objectSchema:
		for _, f := range s.fields {
			f.schema.leafPaths(child(f.key), defaults.FieldByIndex(f.index), append(slices.Clone(path), f.key), visit)
		}
	case dictSchema:
		keys := map[string]reflect.Value{}
		if tree != nil {
			for _, k := range tree.keys {
				keys[k] = reflect.Zero(s.typ.Elem())
			}
		}
		for it := defaults.MapRange(); it.Next(); {
			keys[it.Key().String()] = it.Value()
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			s.elem.leafPaths(child(k), keys[k], append(slices.Clone(path), k), visit)
		}
	default:
		visit(path)
	}
}

func envName(prefix string, path []string) string {
	name := strings.ToUpper(strings.Join(path, "_"))
	return prefix + strings.Map(func(r rune) rune {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '_' {
			return r
		}
		return '_'
	}, name)
}

// env makes a layer of the environment's variables.
func (l *loader) env(tree *node, defaults reflect.Value, found *problems) *node {
	if l.options.EnvPrefix == "" && len(l.options.EnvNames) == 0 {
		return nil
	}
	byName := map[string][]string{} // variable to key
	twice := map[string]string{}
	if l.options.EnvPrefix != "" {
		l.schema.leafPaths(tree, defaults, nil, func(path []string) {
			name := envName(l.options.EnvPrefix, path)
			if other, ok := byName[name]; ok {
				twice[name] = strings.Join(other, ".")
			}
			byName[name] = path
		})
	}
	layer := newMap(Origin{Kind: OriginEnv})
	values := map[string]string{}
	for _, variable := range l.options.Environ {
		if name, value, ok := strings.Cut(variable, "="); ok {
			values[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if l.options.EnvPrefix == "" || !strings.HasPrefix(name, l.options.EnvPrefix) || l.options.EnvNames[name] != "" {
			continue
		}
		at := Origin{Kind: OriginEnv, Name: name}
		path, ok := byName[name]
		switch {
		case slices.Contains(l.options.IgnoreEnv, name), !ok && slices.Contains(l.options.IgnoreEnv, "*"):
		case !ok:
			found.add(at, "", "sets no key%s", didYouMean(name, slices.Collect(maps.Keys(byName))))
		case twice[name] != "":
			found.add(at, "", "could mean %s or %s; map another name with EnvNames", twice[name], strings.Join(path, "."))
		default:
			layer.put(path, &node{kind: scalarNode, text: values[name], at: at})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.options.EnvNames)) {
		at, key := Origin{Kind: OriginEnv, Name: name}, l.options.EnvNames[name]
		path, ok := l.resolve(at, key, found)
		if value, set := values[name]; set && ok {
			layer.put(path, &node{kind: scalarNode, text: value, at: at})
		}
	}
	return layer
}

// overrides makes a layer of key=value pairs.
func (l *loader) overrides(found *problems) *node {
	if len(l.options.Overrides) == 0 {
		return nil
	}
	at := Origin{Kind: OriginOverride}
	layer := newMap(at)
	for _, pair := range l.options.Overrides {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			found.add(at, "", "%s must have the form key=value", quote(key))
			continue
		}
		if path, ok := l.resolve(at, strings.TrimSpace(key), found); ok {
			layer.put(path, &node{kind: scalarNode, text: value, at: at})
		}
	}
	return layer
}

// resolve splits a key and checks that it leads to something that text can set.
func (l *loader) resolve(at Origin, key string, found *problems) ([]string, bool) {
	path := strings.Split(key, ".")
	s := l.schema
	for i, part := range path {
		switch s.kind {
		case objectSchema:
			f := s.field(part)
			if f == nil {
				found.add(at, strings.Join(path[:i+1], "."), "unknown key%s", didYouMean(part, s.keys()))
				return nil, false
			}
			s = f.schema
		case dictSchema:
			s = s.elem
		default:
			found.add(at, key, "unknown key: %s has no keys below it", strings.Join(path[:i], "."))
			return nil, false
		}
	}
	if s.kind == objectSchema || s.kind == dictSchema {
		found.add(at, key, "is a section; set one of its keys")
		return nil, false
	}
	return path, true
}
