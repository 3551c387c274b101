package saga

// The state of a saga is folded from its input and the results of its steps. Outside of groups that run in parallel the
// fold is kept up to date; a branch's own view, and the join, are computed afresh from the input, so that values which
// share memory (slices, maps, pointers) never leak from one branch into another.

// fold takes n's result into the root state, if n is not inside a group that is still running.
func (m *machine) fold(n *node) error {
	outer := outermostGroup(n)
	if outer == nil {
		m.state = m.foldNode(m.state, n)
		return nil
	}
	if !m.complete(outer) {
		return nil
	}
	state, err := m.compute(m.def.root)
	if err != nil {
		return err
	}
	m.state = state
	return nil
}

// stateFor is the state that a step sees.
func (m *machine) stateFor(n *node) (any, error) {
	outer := outermostGroup(n)
	if outer == nil || m.complete(outer) {
		if m.def.flat {
			return m.state, nil
		}
	}
	if outer == nil && m.dir == forward {
		return m.state, nil // nobody else runs
	}
	return m.compute(n)
}

// compute folds everything that the target may see: what stands before it, and the groups that are complete.
func (m *machine) compute(target *node) (any, error) {
	state, err := m.def.decodeState(m.input)
	if err != nil {
		return nil, err
	}
	return m.computeIn(state, m.def.root, target), nil
}

func (m *machine) computeIn(state any, n, target *node) any {
	switch n.kind {
	case kindParallel:
		joined := m.complete(n)
		for _, c := range n.children {
			if joined || contains(c, target) {
				state = m.computeIn(state, c, target)
			}
		}
		return state
	default:
		state = m.foldNode(state, n)
		for _, c := range m.taken(n) {
			state = m.computeIn(state, c, target)
		}
		return state
	}
}

func (m *machine) foldNode(state any, n *node) any {
	ns := &m.nodes[n.id]
	if !ns.known {
		return state
	}
	if n.deliver != nil {
		payload, _ := ns.result.([]byte)
		next, err := n.deliver(state, payload)
		if err != nil {
			return state
		}
		return next
	}
	if n.fold == nil {
		return state
	}
	return n.fold(state, ns.result)
}

// taken lists the children of n that belong to the path the saga took.
func (m *machine) taken(n *node) []*node {
	ns := &m.nodes[n.id]
	switch n.kind {
	case kindWhen:
		if !ns.decided {
			return nil
		}
		if ns.yes {
			return n.children
		}
		return n.otherwise
	case kindAwait:
		if ns.status != expired {
			return nil
		}
	}
	return n.children
}

func outermostGroup(n *node) *node {
	var outer *node
	for p := n.parent; p != nil; p = p.parent {
		if p.kind == kindParallel {
			outer = p
		}
	}
	return outer
}

func contains(n, target *node) bool {
	for ; target != nil; target = target.parent {
		if target == n {
			return true
		}
	}
	return false
}

// complete reports whether everything in n is done that the path asks for.
func (m *machine) complete(n *node) bool {
	ns := &m.nodes[n.id]
	switch n.kind {
	case kindSequence, kindParallel:
	case kindWhen:
		if !ns.decided {
			return false
		}
	case kindAwait:
		if ns.status != expired {
			return ns.over()
		}
	default:
		return ns.over()
	}
	for _, c := range m.taken(n) {
		if !m.complete(c) {
			return false
		}
	}
	return true
}
