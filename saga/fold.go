package saga

// The state of a saga is folded from its input and the results of its steps. Outside of groups and scopes the fold is kept
// up to date; the view of a branch, of an item and of a child, and the join, are computed afresh from the input, so that
// values which share memory (slices, maps, pointers) never leak from one branch into another.

// fold takes n's result into the root state, if n is not inside a group that is still running.
func (m *machine) fold(n *node) (err error) {
	outer := outermostGroup(n)
	if outer == nil {
		m.state = m.foldNode(m.state, n)
		return nil
	}
	if m.complete(outer) {
		m.state, err = m.compute(m.def.root, nil)
	}
	return err
}

// stateFor is the state that a step sees.
func (m *machine) stateFor(n *node) (any, error) {
	s := n.scope()
	if s.parent == nil {
		outer := outermostGroup(n)
		switch {
		case m.def.flat && (outer == nil || m.complete(outer)):
			return m.state, nil
		case outer == nil && m.dir == forward:
			return m.state, nil // nobody else runs
		}
	}
	return m.compute(s, n)
}

// stateCopy is the state that a step sees, in memory that nothing else knows.
func (m *machine) stateCopy(n *node) (any, error) { return m.compute(n.scope(), n) }

// compute folds everything in a scope that the target may see: what stands before it, and the groups that are complete. Nil
// sees all of them.
func (m *machine) compute(scope, target *node) (any, error) {
	state, err := m.scopeState(scope)
	if err != nil {
		return nil, err
	}
	return m.computeList(state, scope.children, target)
}

func (m *machine) computeList(state any, list []*node, target *node) (_ any, err error) {
	for _, c := range list {
		if state, err = m.computeIn(state, c, target); err != nil {
			return nil, err
		}
	}
	return state, nil
}

func (m *machine) computeIn(state any, n, target *node) (_ any, err error) {
	switch n.kind {
	case kindParallel:
		joined := m.complete(n)
		for _, c := range n.children {
			if !joined && !contains(c, target) {
				continue
			}
			if state, err = m.computeIn(state, c, target); err != nil {
				return nil, err
			}
		}
		return state, nil
	case kindEach, kindChild:
		if !m.complete(n) {
			return state, nil
		}
		return m.joinScope(state, n)
	default:
		return m.computeList(m.foldNode(state, n), m.taken(n), target)
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
	case kindEach:
		if ns.scope == nil {
			return nil
		}
		return ns.scope.items
	case kindChild:
		if ns.scope == nil {
			return nil
		}
	}
	return n.children
}

// outermostGroup is the outermost node around n, or n itself, that joins the state only when it is complete.
func outermostGroup(n *node) *node {
	var outer *node
	for p := n; p != nil; p = p.parent {
		switch p.kind {
		case kindParallel, kindEach, kindChild:
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
	case kindEach, kindChild:
		if ns.scope == nil {
			return false
		}
	case kindItem:
		if ns.finished {
			return true
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
	if n.kind == kindItem {
		ns.finished = true
	}
	return true
}
