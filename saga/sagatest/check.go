package sagatest

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// Violation is a broken promise.
type Violation struct {
	Property string // SAFE-1, LIVE-1, …
	Saga     string
	Step     string
	Detail   string
}

// String is the violation on one line.
func (v Violation) String() string {
	where := v.Saga
	if v.Step != "" {
		where += "/" + v.Step
	}
	return fmt.Sprintf("%s: %s: %s", v.Property, where, v.Detail)
}

// Verdict is what [Check] found. Instances counts by property how often it had something to look at: a property without
// instances was not put to the test, however green the run.
type Verdict struct {
	Violations []Violation
	Instances  map[string]int
}

// Vacuous lists those of the given properties, all if none is given, that the history never put to the test.
func (v Verdict) Vacuous(properties ...string) []string {
	if len(properties) == 0 {
		properties = Properties()
	}
	return slices.DeleteFunc(slices.Clone(properties), func(p string) bool { return v.Instances[p] > 0 })
}

// String lists the violations, or says how much was checked.
func (v Verdict) String() string {
	if len(v.Violations) > 0 {
		lines := make([]string, len(v.Violations))
		for i, x := range v.Violations {
			lines[i] = x.String()
		}
		return strings.Join(lines, "\n")
	}
	var parts []string
	for _, p := range slices.Sorted(maps.Keys(v.Instances)) {
		parts = append(parts, fmt.Sprintf("%s ×%d", p, v.Instances[p]))
	}
	return "no violation: " + strings.Join(parts, ", ")
}

// property is one promise and how it is checked.
type property struct {
	id    string
	check func(*checker)
}

// properties in the order in which they are reported. SAFE-14, 15, 19, 21, 23 and 24 need more than a history and are tested
// elsewhere, or are not promised yet.
var properties = []property{
	{"SAFE-1", (*checker).effectsAtMostOnce},
	{"SAFE-2", (*checker).stableKeys},
	{"SAFE-3", (*checker).order},
	{"SAFE-4", (*checker).reverseOrder},
	{"SAFE-5", (*checker).onlyWhatMayHaveHappened},
	{"SAFE-6", (*checker).everythingThatMayHaveHappened},
	{"SAFE-7", (*checker).noLateEffect},
	{"SAFE-8", (*checker).terminalIsFinal},
	{"SAFE-9", (*checker).noMixedEnding},
	{"SAFE-10", (*checker).idempotentStart},
	{"SAFE-11", (*checker).durableAcknowledgement},
	{"SAFE-12", (*checker).singleWriter},
	{"SAFE-13", (*checker).journalIntegrity},
	{"SAFE-16", (*checker).delivery},
	{"SAFE-17", (*checker).inboxOnce},
	{"SAFE-18", (*checker).aggregateOrder},
	{"SAFE-20", (*checker).retryBudget},
	{"SAFE-22", (*checker).versionStays},
	{"LIVE-1", (*checker).everythingEnds},
	{"LIVE-5", (*checker).noLivelock},
	{"LIVE-7", (*checker).timersNotEarly},
}

// Properties lists the ids of what [Check] looks at.
func Properties() []string {
	ids := make([]string, len(properties))
	for i, p := range properties {
		ids[i] = p.id
	}
	return ids
}

// Check looks at a recorded history for violations of the properties SAFE and LIVE that docs/guarantees.md lists. The definitions are
// those of the sagas in it; what needs one is not checked for sagas without. The history must have come to rest: faults healed, every
// saga given the time to end.
func Check(h History, defs ...saga.Definition) Verdict {
	c := newChecker(h, defs)
	for _, p := range properties {
		c.property = p.id
		p.check(c)
	}
	slices.SortStableFunc(c.violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(rank(a.Property), rank(b.Property)), cmp.Compare(a.Saga, b.Saga), cmp.Compare(a.Step, b.Step))
	})
	return Verdict{c.violations, c.instances}
}

func rank(id string) int {
	return slices.IndexFunc(properties, func(p property) bool { return p.id == id })
}

type checker struct {
	h          History
	models     map[string]*model // by name@version
	sagas      map[string]*sagaHistory
	ids        []string
	property   string
	violations []Violation
	instances  map[string]int
}

// model is what the checker needs of a definition.
type model struct {
	steps  map[string]saga.NodeInfo
	before map[string][]string // who stands before a node
	maybe  map[string]bool     // nodes that not every path takes
}

// sagaHistory is everything about one saga.
type sagaHistory struct {
	id      string
	def     string
	model   *model // nil: not known
	journal []JournalEntry
	effects []Effect
}

func newChecker(h History, defs []saga.Definition) *checker {
	c := &checker{h: h, models: map[string]*model{}, sagas: map[string]*sagaHistory{}, instances: map[string]int{}}
	for _, d := range defs {
		c.models[fmt.Sprintf("%s@%d", d.Name(), d.Version())] = newModel(d.Tree())
	}
	for _, j := range h.Journal {
		s := c.of(j.Saga)
		s.journal = append(s.journal, j)
		if s.def == "" {
			s.def = j.Def
			s.model = c.models[j.Def]
		}
	}
	for _, e := range h.Effects {
		s := c.of(e.Saga)
		s.effects = append(s.effects, e)
	}
	for _, s := range c.sagas {
		slices.SortStableFunc(s.journal, func(a, b JournalEntry) int { return cmp.Compare(a.Seq, b.Seq) })
		slices.SortStableFunc(s.effects, func(a, b Effect) int {
			return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Seq, b.Seq))
		})
	}
	return c
}

func (c *checker) of(id string) *sagaHistory {
	s := c.sagas[id]
	if s == nil {
		s = &sagaHistory{id: id}
		c.sagas[id] = s
		c.ids = append(c.ids, id)
	}
	return s
}

func (c *checker) each(f func(*sagaHistory)) {
	for _, id := range c.ids {
		f(c.sagas[id])
	}
}

func (c *checker) seen() { c.instances[c.property]++ }

func (c *checker) fail(sagaID, step, format string, args ...any) {
	c.violations = append(c.violations, Violation{c.property, sagaID, step, fmt.Sprintf(format, args...)})
}

func newModel(tree []saga.NodeInfo) *model {
	m := &model{map[string]saga.NodeInfo{}, map[string][]string{}, map[string]bool{}}
	m.sequence(tree, nil, false)
	return m
}

// sequence notes who stands before whom and returns everything in the list.
func (m *model) sequence(nodes []saga.NodeInfo, before []string, maybe bool) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, m.node(n, append(slices.Clip(before), all...), maybe)...)
	}
	return all
}

func (m *model) node(n saga.NodeInfo, before []string, maybe bool) []string {
	m.steps[n.Name], m.before[n.Name], m.maybe[n.Name] = n, before, maybe
	all := []string{n.Name}
	if n.Kind == "parallel" {
		for _, child := range n.Children {
			all = append(all, m.node(child, before, maybe)...)
		}
		return all
	}
	maybe = maybe || n.Kind != "sequence" // of a condition, of a deadline
	all = append(all, m.sequence(n.Children, before, maybe)...)
	return append(all, m.sequence(n.Otherwise, before, maybe)...)
}

var index = regexp.MustCompile(`\[\d+\]/`)

// declared finds what is kept by the names of a definition's nodes: there the step "ship[3]/book" of an item is "ship[]/book".
func declared[V any](byName map[string]V, step string) V {
	v, ok := byName[step]
	if !ok {
		v = byName[index.ReplaceAllString(step, "[]/")]
	}
	return v
}

// reach are the effects that have the given direction.
func (s *sagaHistory) reach(undo bool) map[string][]Effect {
	out := map[string][]Effect{}
	for _, e := range s.effects {
		if e.Undo == undo {
			out[e.Step] = append(out[e.Step], e)
		}
	}
	return out
}

// records are the entries about steps of a kind and direction, by step.
func (s *sagaHistory) records(undo bool, kinds ...saga.RecordKind) map[string]JournalEntry {
	out := map[string]JournalEntry{}
	for _, j := range s.journal {
		for _, k := range kinds {
			if _, first := out[j.Step]; !first && j.Kind == k.String() && j.Undo == undo {
				out[j.Step] = j
			}
		}
	}
	return out
}

// end is how the saga ended, "" when it did not.
func (s *sagaHistory) end() string {
	for _, j := range s.journal {
		if j.End != "" {
			return j.End
		}
	}
	return ""
}

func applied(effects []Effect) []Effect {
	return slices.DeleteFunc(slices.Clone(effects), func(e Effect) bool { return e.Effect != Applied })
}
