package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// applyOpened lets an each or a child begin: what the record holds is evaluated once and for all.
func (m *machine) applyOpened(r Record, n *node) error {
	switch n.kind {
	case kindChild:
		if _, err := n.decode(r.Payload); err != nil {
			return fmt.Errorf("saga: %s: input of child %q does not decode: %w", m.id, n.name, err)
		}
		m.nodes[n.id].scope = &scope{input: r.Payload}
	case kindEach:
		items, err := splitItems(r.Payload)
		if err != nil {
			return fmt.Errorf("saga: %s: items of each %q do not decode: %w", m.id, n.name, err)
		}
		for i, item := range items {
			if _, err := n.decode(item); err != nil {
				return fmt.Errorf("saga: %s: item %d of each %q does not decode: %w", m.id, i, n.name, err)
			}
		}
		m.spread(n, items)
	default:
		return fmt.Errorf("saga: %s: journal record %d opens %q, which is a %s", m.id, r.Seq, n.name, n.kind)
	}
	return m.fold(n) // there may be nothing to do in it
}

// spread makes the nodes of an each's items. Their numbers follow from the journal alone, so that every replay gives the same.
func (m *machine) spread(each *node, items []json.RawMessage) {
	s := &scope{items: make([]*node, 0, len(items))}
	m.nodes[each.id].scope = s
	for i, input := range items {
		item := &node{kind: kindItem, name: each.name + "[" + strconv.Itoa(i) + "]", parent: each, decode: each.decode}
		m.add(item)
		m.nodes[item.id].scope = &scope{input: input}
		item.children = copyAll(each.children, item, item.name+"/", true, m.add)
		s.items = append(s.items, item)
	}
}

// add numbers a node that exists for this saga only.
func (m *machine) add(n *node) {
	n.id = len(m.all)
	m.all = append(m.all, n)
	m.nodes = append(m.nodes, nodeState{})
	if m.own == nil {
		m.own = map[string]*node{}
	}
	m.own[n.name] = n
}

// scopeState is the state of a scope as it was when it began.
func (m *machine) scopeState(s *node) (any, error) {
	if s.parent == nil {
		return m.def.decodeState(m.input)
	}
	return s.decode(m.nodes[s.id].scope.input)
}

// joinScope folds an each or a child that is complete into the state around it.
func (m *machine) joinScope(state any, n *node) (any, error) {
	if n.join == nil {
		return state, nil
	}
	of := []*node{n}
	if n.kind == kindEach {
		of = m.nodes[n.id].scope.items
	}
	parts := make([]any, 0, len(of))
	for _, s := range of {
		part, err := m.compute(s, nil)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return n.join(state, parts), nil
}

// openScope evaluates the items of an each or the input of a child.
func (a *activation) openScope(n *node) (Record, error) {
	state, err := a.m.stateFor(n)
	if err != nil {
		return Record{}, err
	}
	v, err := n.open(state)
	if tooMany := (*TooManyItemsError)(nil); errors.As(err, &tooMany) {
		tooMany.Node = n.name
	}
	if err != nil {
		return Record{}, &poisonError{n.name, err}
	}
	payload, err := encodeResult(v, a.w.e.cfg.MaxPayload)
	if err != nil {
		return Record{}, &poisonError{n.name, fmt.Errorf("saga: %s %q: %w", n.kind, n.name, err)}
	}
	return Record{Kind: Opened, Node: n.name, Payload: payload}, nil
}
