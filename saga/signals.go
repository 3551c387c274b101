package saga

import (
	"fmt"
	"slices"
	"time"
)

// refuseSignal says why a signal that arrives now comes too late to be of use, or nothing. A signal is kept while an await
// for it waits or is still to come. After an await of it passed its deadline it is refused until the next one begins: it was
// meant for the one that nobody waits for any more, and the next must not take it for its own.
func (m *machine) refuseSignal(name string, at time.Time) (await *node, reason string) {
	if m.dir == backward {
		return nil, fmt.Sprintf("signal %q is refused: the saga is being taken back", name)
	}
	toCome := false
	for _, n := range m.all {
		ns := &m.nodes[n.id]
		switch {
		case n.repeated:
			continue // its copies count
		case n.kind == kindEach && ns.scope == nil && m.mayCome(n):
			toCome = toCome || find(n, func(x *node) bool { return x.kind == kindAwait && x.signal == name }) != nil
			continue
		case n.kind != kindAwait || n.signal != name:
			continue
		}
		switch {
		case ns.status == armed && at.After(ns.due):
			return n, fmt.Sprintf("signal %q is refused: it came after its deadline", name)
		case ns.status == armed:
			return nil, ""
		case ns.status == expired:
			await = n
		case !ns.known && ns.status == pending && m.mayCome(n):
			toCome = true
		}
	}
	_, late := m.late[name]
	switch {
	case late:
		return await, fmt.Sprintf("signal %q is refused: it came after its deadline", name)
	case !toCome:
		return nil, fmt.Sprintf("signal %q is refused: the saga does not await it any more", name)
	}
	return nil, ""
}

// mayCome reports whether the path the saga took can still reach a node that has not begun.
func (m *machine) mayCome(n *node) bool {
	for ; n.parent != nil; n = n.parent {
		p := &m.nodes[n.parent.id]
		switch n.parent.kind {
		case kindWhen:
			if p.decided && !slices.Contains(m.taken(n.parent), n) {
				return false
			}
		case kindAwait:
			if p.over() {
				return false
			}
		}
	}
	return true
}

func (m *machine) takeSignal(name string) {
	for i, s := range m.signals {
		if s.name == name {
			m.signals = slices.Delete(m.signals, i, i+1)
			return
		}
	}
}

func (m *machine) hasSignal(name string) ([]byte, bool) {
	for _, s := range m.signals {
		if s.name == name {
			return s.payload, true
		}
	}
	return nil, false
}
