package saga

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Recheck replays the journal of one of the definition's sagas and reports functions that no longer answer as they did: a
// condition that would branch the other way, a fold that gives another state each time. Such functions depend on something
// besides their arguments. A saga under way is safe from a condition's change of mind, because its answer is recorded; the next saga
// is not. It is deterministic, uses no clock and changes nothing. Run it over journals of production before a release.
func (s *shape) Recheck(history []Record) error {
	m := newMachine(s, "")
	for _, r := range history {
		if n := s.byName[r.Node]; r.Kind == Branched && n != nil && n.when != nil {
			if err := m.recheckBranch(n, r.Taken); err != nil {
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
		state, err := m.compute(s.root)
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
