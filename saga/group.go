package saga

// SequenceNode runs nodes one after the other; see [Sequence].
type SequenceNode[S any] struct{ g group[S] }

// ParallelNode runs nodes side by side; see [Parallel].
type ParallelNode[S any] struct{ g group[S] }

// group is a node made of other nodes over the same state.
type group[S any] struct {
	n        node
	children []Node[S]
}

// Sequence runs its nodes one after the other. A definition is a sequence already; use it for a branch of a [Parallel]
// that has several steps.
func Sequence[S any](name string, nodes ...Node[S]) *SequenceNode[S] {
	return &SequenceNode[S]{group[S]{node{kind: kindSequence, name: name}, nodes}}
}

// Parallel runs its nodes side by side. Each branch sees the state as it was at the group's start plus its own results;
// at the join the branches fold in the order in which they are declared. When one fails, the others are cancelled and
// what they did is compensated; members are compensated side by side too, unless [ParallelNode.UndoInOrder] asks otherwise.
func Parallel[S any](name string, nodes ...Node[S]) *ParallelNode[S] {
	return &ParallelNode[S]{group[S]{node{kind: kindParallel, name: name}, nodes}}
}

// UndoInOrder takes the members back one after the other, the one declared last first, instead of side by side.
func (p *ParallelNode[S]) UndoInOrder() *ParallelNode[S] { p.g.n.undoInOrder = true; return p }

func (s *SequenceNode[S]) compile(b *builder, _ func(S)) *node { return s.g.compile(b) }

func (p *ParallelNode[S]) compile(b *builder, _ func(S)) *node { return p.g.compile(b) }

func (g *group[S]) compile(b *builder) *node {
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
		b.problem(out.name, "has no condition")
	} else {
		out.when = func(state any) bool { return w.cond(state.(S)) }
	}
	if len(w.then) == 0 {
		b.problem(out.name, "is an empty group")
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
