package config

import "strings"

type nodeKind int

const (
	nullNode nodeKind = iota
	scalarNode
	listNode
	mapNode
)

// node is a value of a layer before it has a type.
type node struct {
	kind nodeKind
	// text is a scalar's text; tag its YAML tag, or "" for text from outside a file, whose type is what the field needs.
	text, tag string
	items     []*node
	keys      []string // a mapping's keys in the order of the file
	children  map[string]*node
	at        Origin
}

func newMap(at Origin) *node { return &node{kind: mapNode, children: map[string]*node{}, at: at} }

func (n *node) set(key string, child *node) {
	if _, ok := n.children[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.children[key] = child
}

// get follows a path; nil when there is nothing.
func (n *node) get(path string) *node {
	if path == "" {
		return n
	}
	for key := range strings.SplitSeq(path, ".") {
		if n == nil || n.kind != mapNode {
			return nil
		}
		n = n.children[key]
	}
	return n
}

// put sets a value at a path, making mappings on the way.
func (n *node) put(path []string, value *node) {
	for _, key := range path[:len(path)-1] {
		next := n.children[key]
		if next == nil || next.kind != mapNode {
			next = newMap(value.at)
			n.set(key, next)
		}
		n = next
	}
	n.set(path[len(path)-1], value)
}

// merge lays over on top of base without changing either.
func merge(base, over *node) *node {
	switch {
	case base == nil:
		return over
	case over == nil, over.kind == nullNode: // a section whose lines are all commented out changes nothing
		return base
	case base.kind != mapNode || over.kind != mapNode:
		return over
	}
	merged := newMap(over.at)
	for _, key := range base.keys {
		merged.set(key, merge(base.children[key], over.children[key]))
	}
	for _, key := range over.keys {
		if _, ok := base.children[key]; !ok {
			merged.set(key, over.children[key])
		}
	}
	return merged
}
