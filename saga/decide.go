package saga

import "time"

// Op says what a [Command] asks for.
type Op uint8

// The operations the decision core asks for.
const (
	OpRun     Op = iota // carry out the node's next attempt, not before NotBefore
	OpWait              // nothing to do for the node before NotBefore
	OpArm               // record that the wait begins
	OpOpen              // evaluate the items of an each or the input of a child, and record them
	OpDecide            // evaluate the condition and record its outcome
	OpDeliver           // fold the signal that has arrived
	OpSettle            // record that an interrupted attempt's outcome is unknown
	OpEnd               // record the outcome of the saga
)

// Command is one thing to be done for a saga, as [Def.Next] decides it.
type Command struct {
	Op        Op
	Node      string
	Undo      bool
	Attempt   int       // of OpRun: 1 for the first
	NotBefore time.Time // of OpRun and OpWait; zero: at once
	Outcome   Outcome   // of OpEnd

	node *node
}

// Next is the pure decision core: from a definition and the journal of one of its sagas follows what is to be done. It is
// deterministic, uses no clock and changes nothing.
func (s *shape) Next(history []Record) ([]Command, error) {
	m := newMachine(s, "")
	for _, r := range history {
		if err := m.apply(r); err != nil {
			return nil, err
		}
	}
	return m.next(), nil
}

// next decides. The commands are good until the next call.
func (m *machine) next() []Command {
	if m.outcome != outcomeNone || m.parked || m.paused || m.seq == 0 {
		return nil
	}
	cmds := m.cmds[:0]
	defer func() { m.cmds = cmds }()
	if m.dir == forward {
		if m.queued {
			return nil
		}
		m.forward(m.def.root, &cmds)
		if len(cmds) == 0 {
			cmds = append(cmds, Command{Op: OpEnd, Outcome: Completed})
		}
		return cmds
	}
	for _, n := range m.all {
		if m.nodes[n.id].open {
			cmds = append(cmds, Command{Op: OpSettle, Node: n.name, node: n})
		}
	}
	if len(cmds) > 0 {
		return cmds // compensation begins when every outcome is recorded
	}
	if m.backward(m.def.root, &cmds) {
		cmds = append(cmds, Command{Op: OpEnd, Outcome: Compensated})
	}
	return cmds
}

// forward collects what n asks for and reports whether it is complete.
func (m *machine) forward(n *node, cmds *[]Command) bool {
	ns := &m.nodes[n.id]
	add := func(c Command) bool {
		c.Node, c.node = n.name, n
		*cmds = append(*cmds, c)
		return false
	}
	switch n.kind {
	case kindParallel:
		all := true
		for _, c := range n.children {
			if !m.forward(c, cmds) {
				all = false
			}
		}
		return all
	case kindEach:
		if ns.scope == nil {
			return add(Command{Op: OpOpen})
		}
		return m.forwardItems(n, ns.scope.items, cmds)
	case kindChild:
		if ns.scope == nil {
			return add(Command{Op: OpOpen})
		}
	case kindItem:
		if ns.finished {
			return true
		}
	case kindWhen:
		if !ns.decided {
			return add(Command{Op: OpDecide})
		}
	case kindAwait:
		switch {
		case ns.over():
			return true
		case ns.status == expired:
		default:
			if _, ok := m.hasSignal(n.signal); ok {
				return add(Command{Op: OpDeliver})
			}
			if ns.status == armed {
				return add(Command{Op: OpWait, NotBefore: ns.due})
			}
			return add(Command{Op: OpArm})
		}
	case kindSequence:
	default:
		if ns.over() {
			return true
		}
		if ns.status == armed {
			return add(Command{Op: OpWait, NotBefore: ns.due})
		}
		if n.kind == kindSleep {
			return add(Command{Op: OpArm})
		}
		return add(Command{Op: OpRun, Attempt: ns.failed + 1, NotBefore: ns.due})
	}
	for _, c := range m.taken(n) {
		if !m.forward(c, cmds) {
			return false
		}
	}
	if n.kind == kindItem {
		m.nodes[n.id].finished = true
	}
	return true
}

// forwardItems lets the next item of an each begin when one is complete.
func (m *machine) forwardItems(each *node, items []*node, cmds *[]Command) bool {
	running := 0
	for _, item := range items {
		if m.forward(item, cmds) {
			continue
		}
		if running++; running == each.limit {
			break
		}
	}
	return running == 0
}

// backward collects what taking n back asks for and reports whether nothing is left of it. The tree is walked against
// the order in which it was run, so no step is undone before everything that followed it.
func (m *machine) backward(n *node, cmds *[]Command) bool {
	if n.kind.isAction() {
		return m.undoAction(n, cmds)
	}
	limit := 1 // members that are taken back at once; zero: all
	if !n.undoInOrder && (n.kind == kindParallel || n.kind == kindEach) {
		limit = n.limit
	}
	running := 0
	children := m.taken(n)
	for i := len(children) - 1; i >= 0; i-- {
		if m.backward(children[i], cmds) {
			continue
		}
		if running++; running == limit {
			break
		}
	}
	return running == 0
}

func (m *machine) undoAction(n *node, cmds *[]Command) bool {
	ns := &m.nodes[n.id]
	if n.undo == nil {
		return true
	}
	c := Command{Op: OpRun, Node: n.name, Undo: true, Attempt: ns.undoFailed + 1, NotBefore: ns.due, node: n}
	switch ns.status {
	case done, unknown:
		c.NotBefore = time.Time{}
	case undoRetrying:
	case undoArmed:
		c.Op, c.Attempt = OpWait, 0
	default:
		return true
	}
	*cmds = append(*cmds, c)
	return false
}
