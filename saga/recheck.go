package saga

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// Recheck replays the journal of one of the definition's sagas and reports functions that no longer answer as they did: a
// condition that would branch the other way, other items of an each, a fold that gives another state each time. Such functions depend on something
// besides their arguments. A saga under way is safe from a condition's change of mind, because its answer is recorded; the next saga
// is not. It is deterministic, uses no clock and changes nothing. Run it over journals of production before a release.
func (s *shape) Recheck(history []Record) error {
	m := newMachine(s, "")
	for _, r := range history {
		n := m.node(r.Node)
		switch {
		case n == nil:
		case r.Kind == Branched && n.when != nil:
			if err := m.recheckBranch(n, r.Taken); err != nil {
				return err
			}
		case r.Kind == Opened && n.open != nil:
			if err := m.recheckOpen(n, r.Payload); err != nil {
				return err
			}
		}
		if err := m.apply(r); err != nil {
			return err
		}
	}
	if m.seq == 0 {
		return nil
	}
	var states [2][]byte
	for i := range states {
		state, err := m.compute(s.root, nil)
		if err == nil {
			states[i], err = json.Marshal(state)
		}
		if err != nil {
			return fmt.Errorf("saga: recheck: %w", err)
		}
	}
	if !bytes.Equal(states[0], states[1]) {
		return fmt.Errorf("saga: recheck: folding the same results twice gives %s and then %s: an Into depends on more than its arguments",
			states[0], states[1])
	}
	return nil
}

// rechecks is how often a condition is asked again: one that draws lots is caught almost surely.
const rechecks = 16

func (m *machine) recheckBranch(n *node, taken bool) error {
	for range rechecks {
		state, err := m.stateFor(n)
		if err != nil {
			return err
		}
		if n.when(state) != taken {
			return fmt.Errorf("saga: recheck: condition %q was %t and is now %t for the same state: it depends on more than its argument",
				n.name, taken, !taken)
		}
	}
	return nil
}

func (m *machine) recheckOpen(n *node, was []byte) error {
	for range rechecks {
		state, err := m.stateFor(n)
		if err != nil {
			return err
		}
		v, err := n.open(state)
		if err != nil {
			return fmt.Errorf("saga: recheck: %s %q: %w", n.kind, n.name, err)
		}
		now, err := encodeResult(v, math.MaxInt)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, was) {
			return fmt.Errorf("saga: recheck: %s %q got %s and now gets %s for the same state: its function depends on more than its argument",
				n.kind, n.name, was, now)
		}
	}
	return nil
}
