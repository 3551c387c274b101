package saga

// GroupNode is a node made of other nodes; see [Sequence] and [Parallel].
type GroupNode[S any] struct {
	n        node
	children []Node[S]
}

// Sequence runs its nodes one after the other. A definition is a sequence already; use it for a branch of a [Parallel]
// that has several steps.
func Sequence[S any](name string, nodes ...Node[S]) *GroupNode[S] {
	return &GroupNode[S]{node{kind: kindSequence, name: name}, nodes}
}

// Parallel runs its nodes side by side. Each branch sees the state as it was at the group's start plus its own results;
// at the join the branches fold in the order in which they are declared. When one fails, the others are cancelled and
// what they did is compensated; members are compensated side by side too.
func Parallel[S any](name string, nodes ...Node[S]) *GroupNode[S] {
	return &GroupNode[S]{node{kind: kindParallel, name: name}, nodes}
}

func (g *GroupNode[S]) compile(b *builder, _ func(S)) *node {
	n := g.n
	out := b.add(&n)
	if len(g.children) == 0 {
		b.problem(n.name, "is an empty group")
	}
	out.children = compileAll(b, out, g.children)
	return out
}

// WhenNode runs its nodes under a condition; see [When].
type WhenNode[S any] struct {
	name            string
	cond            func(S) bool
	then, otherwise []Node[S]
}

// When runs the nodes only if the condition holds for the state at that point. The outcome is recorded and never
// evaluated again.
func When[S any](name string, cond func(S) bool, nodes ...Node[S]) *WhenNode[S] {
	return &WhenNode[S]{name: name, cond: cond, then: nodes}
}

// Otherwise runs these nodes when the condition does not hold.
func (w *WhenNode[S]) Otherwise(nodes ...Node[S]) *WhenNode[S] {
	w.otherwise = nodes
	return w
}

func (w *WhenNode[S]) compile(b *builder, _ func(S)) *node {
	out := b.add(&node{kind: kindWhen, name: w.name})
	if w.cond == nil {
		b.problem(w.name, "has no condition")
	} else {
		out.when = func(state any) bool { return w.cond(state.(S)) }
	}
	if len(w.then) == 0 {
		b.problem(w.name, "is an empty group")
	}
	out.children = compileAll(b, out, w.then)
	out.otherwise = compileAll(b, out, w.otherwise)
	return out
}

func compileAll[S any](b *builder, parent *node, nodes []Node[S]) []*node {
	var out []*node
	for _, child := range nodes {
		if child == nil {
			b.problem(parent.name, "contains a nil node")
			continue
		}
		c := child.compile(b, nil)
		c.parent = parent
		out = append(out, c)
	}
	return out
}
