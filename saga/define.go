package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Def is a checked definition: a named, versioned tree of steps over the state S. It is immutable and safe for concurrent
// use.
type Def[S any] struct{ shape }

// Definition is what an [Engine] registers: any *Def[S].
type Definition interface {
	// Name and Version identify the definition; Err reports everything that is wrong with it.
	Name() string
	Version() int
	Err() error
	// Tree describes its nodes.
	Tree() []NodeInfo
	// Recheck looks for functions that depend on more than their arguments.
	Recheck(history []Record) error
	compiled() *shape
}

// shape is a definition with its state type erased.
type shape struct {
	name        string
	version     int
	root        *node
	nodes       []*node
	byName      map[string]*node
	err         error
	fingerprint string
	decodeState func([]byte) (any, error)
	attributes  func(state any) map[string]string
	contains    []string // names of the definitions in this one, however deep
	sensitive   bool     // the input is
	guarded     bool     // something is sensitive
	flat        bool     // a copy of the state shares no memory with it
}

// Define builds a definition. It never panics: [Def.Err] joins every reason why the definition cannot run, and the engine
// refuses it with them. A change of the tree needs a new version, because running sagas continue under the one they
// began with.
func Define[S any](name string, version int, nodes ...Node[S]) *Def[S] {
	b := &builder{name: name, byName: map[string]*node{}}
	root := &node{kind: kindSequence, name: "", id: 0}
	b.nodes = append(b.nodes, root)
	root.children = compileAll(b, root, nodes)
	if name == "" {
		b.problems = append(b.problems, errors.New("the definition has no name"))
	} else if len(name) > maxName || strings.ContainsAny(name, "@/\n") || !isText(name) {
		b.problems = append(b.problems,
			fmt.Errorf("the name %q is longer than %d bytes or contains '@', '/', a line end, NUL or no UTF-8", name, maxName))
	}
	if version < 1 {
		b.problems = append(b.problems, fmt.Errorf("version %d is not positive", version))
	}
	if len(root.children) == 0 {
		b.problems = append(b.problems, errors.New("the definition has no nodes"))
	}
	b.checkPivots(root)
	d := &Def[S]{shape{
		name: name, version: version, root: root, nodes: b.nodes, byName: b.byName,
		contains: slices.Sorted(maps.Keys(b.children)), decodeState: decodeResult[S], flat: flat(reflect.TypeFor[S]()),
	}}
	d.fingerprint = fingerprint(root)
	for _, n := range d.nodes {
		d.guarded = d.guarded || n.sensitive || n.child != nil && n.child.guarded
	}
	if len(b.problems) > 0 {
		d.err = fmt.Errorf("saga: definition %q version %d: %w", name, version, errors.Join(b.problems...))
	}
	return d
}

// Name is the definition's name.
func (s *shape) Name() string { return s.name }

// Version is the definition's version.
func (s *shape) Version() int { return s.version }

// Err reports everything that is wrong with the definition, nil when it can run.
func (s *shape) Err() error { return s.err }

func (s *shape) compiled() *shape { return s }

func (s *shape) kind() string { return fmt.Sprintf("%s@%d", s.name, s.version) }

// checkPivots walks every path: behind a pivot nothing may need compensation, and there is one point of no return.
func (b *builder) checkPivots(root *node) {
	b.walkPivots(root, nil)
}

func (b *builder) walkPivots(n *node, after *node) *node {
	switch {
	case n.class == pivot && after != nil:
		b.problem(n.name, fmt.Sprintf("is a second pivot behind %q; a saga has one point of no return", after.name))
	case n.class == compensatable && after != nil:
		b.problem(n.name, fmt.Sprintf("is compensatable and stands behind the pivot %q; make it retriable or move it before", after.name))
	case n.kind == kindAwait && after != nil && len(n.children) == 0:
		b.problem(n.name, fmt.Sprintf("can be rejected and stands behind the pivot %q; give it OnDeadline or move it before", after.name))
	}
	if n.class == pivot {
		return n
	}
	last := after
	switch n.kind {
	case kindEach:
		for _, c := range n.children {
			if p := b.walkPivots(c, after); p != after {
				b.problem(p.name, fmt.Sprintf("is a pivot inside %q, which runs it once per item; a saga has one point of no return", n.name))
				last = p
			}
		}
	case kindParallel:
		for _, c := range n.children {
			if p := b.walkPivots(c, after); p != after {
				b.problem(p.name, fmt.Sprintf("is a pivot inside the parallel group %q; its siblings could still fail", n.name))
				last = p
			}
		}
	case kindWhen:
		for _, branch := range [][]*node{n.children, n.otherwise} {
			p := after
			for _, c := range branch {
				p = b.walkPivots(c, p)
			}
			if p != after {
				last = p
			}
		}
	default:
		for _, c := range n.children {
			last = b.walkPivots(c, last)
		}
	}
	return last
}

// fingerprint identifies the shape: names, kinds and structure. It does not cover functions.
func fingerprint(root *node) string {
	h := sha256.New()
	writeShape(h, root)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func writeShape(w io.Writer, n *node) {
	fmt.Fprintf(w, "%d %d %q %q %t(", n.kind, n.class, n.name, n.signal, n.undo != nil)
	if n.child != nil {
		fmt.Fprintf(w, "%q %s ", n.child.kind(), n.child.fingerprint)
	}
	for _, c := range n.children {
		writeShape(w, c)
	}
	fmt.Fprint(w, "|")
	for _, c := range n.otherwise {
		writeShape(w, c)
	}
	fmt.Fprint(w, ")")
}

// flat reports whether values of t hold no reference, so that a plain copy is independent.
func flat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i).Type
			if f.PkgPath() == "time" && f.Name() == "Time" { // its *Location is immutable
				continue
			}
			if !flat(f) {
				return false
			}
		}
	}
	return true
}
