package saga

import (
	"slices"
	"strings"
)

// ChildNode runs another definition; see [Child].
type ChildNode[S, C any] struct {
	n    node
	def  *Def[C]
	part func(S) C
	into func(*S, C)
}

// Child runs another definition over a part of the state. What part makes of the state when the saga arrives here is the
// child's input; it is recorded and never evaluated again. The child's steps see only their own state. It has no life of its
// own: it is compensated with the rest, its pivot is the saga's pivot, and both share one journal.
//
// The nodes of the child are named by a path: the step "charge" of the child "payment" is "payment/charge" in the journal, in
// [Ctx.Step] and [Ctx.Key], and to operators. The child's version and shape are part of the shape of the definition that
// it stands in, so that a new version of the child needs a new version of that one.
func Child[S, C any](name string, def *Def[C], part func(S) C) *ChildNode[S, C] {
	return &ChildNode[S, C]{n: node{kind: kindChild, name: name}, def: def, part: part}
}

// Into folds the state that the child ended with back into the saga's. It must only depend on its arguments: it runs again
// whenever the state is rebuilt.
func (c *ChildNode[S, C]) Into(into func(*S, C)) *ChildNode[S, C] { c.into = into; return c }

// Weight is the share of [Status.Progress] of the whole child. Default: the sum of the weights of its nodes.
func (c *ChildNode[S, C]) Weight(w int) *ChildNode[S, C] { c.n.weight = w; return c }

func (c *ChildNode[S, C]) compile(b *builder, _ func(S)) *node {
	n := c.n
	out := b.add(&n)
	if c.part == nil {
		b.problem(out.name, "has no function for its input")
	} else {
		out.open = func(state any) (any, error) { return c.part(state.(S)), nil }
	}
	if c.into != nil {
		out.join = func(state any, parts []any) any {
			s := state.(S)
			part, _ := parts[0].(C) // nothing but nil is no C
			c.into(&s, part)
			return s
		}
	}
	out.decode = decodeResult[C]
	if c.def == nil || c.def.root == nil {
		b.problem(out.name, "is a child whose definition does not exist yet: pass what Define returned; no definition can contain itself")
		return out
	}
	out.child = &c.def.shape
	b.contain(out, out.child)
	if out.child.err != nil {
		b.problem(out.name, "is a child that cannot run: "+out.child.err.Error())
		return out
	}
	b.inside(out, func() {
		out.children = copyAll(out.child.root.children, out, b.prefix, false, b.register)
	})
	return out
}

// contain notes that the definition contains another one, and refuses it when that is itself or contains it.
func (b *builder) contain(n *node, child *shape) {
	if b.name != "" && (child.name == b.name || slices.Contains(child.contains, b.name)) {
		way := []string{b.name, child.kind()}
		if child.name != b.name {
			way = append(way, b.name)
		}
		b.problem(n.name, "is a child cycle: "+strings.Join(way, " → ")+"; a definition cannot contain itself, in no version")
	}
	for _, name := range append([]string{child.name}, child.contains...) {
		note(&b.children, name)
	}
}
