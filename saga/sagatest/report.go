package sagatest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// Report is what an exploration saw.
type Report struct {
	Saga      string
	Schedules int
	Reduced   int          // schedules left out because they only differ in the order of independent faults
	Cut       int          // schedules left out because of [Most]
	Fired     map[Kind]int // faults that were made
	Findings  []Found      // the shortest schedule for each bug, the shortest of all first
	Undos     map[string]*UndoAudit
	Outcomes  map[saga.Outcome]int
	Elapsed   time.Duration

	seen map[string]bool
}

// Found is a finding with the schedule that shows it.
type Found struct {
	Finding
	Schedule Schedule
	Diagram  string
}

// UndoAudit counts what the compensation of a step was put to.
type UndoAudit struct {
	Reached       int // schedules in which it ran
	Repeated      int // in which it was called more than once
	NeverHappened int // in which the step had had no effect, as far as the kit's participants know, and no known result
}

func (r *Report) add(run *run) {
	r.Schedules++
	if r.Outcomes == nil {
		r.Outcomes = map[saga.Outcome]int{}
	}
	r.Outcomes[run.outcome]++
	for _, f := range run.fired {
		r.Fired[f.Kind]++
	}
	r.audit(run)
	for _, f := range run.findings {
		if id := f.Bug + "\x00" + f.Step; !r.seen[id] {
			r.seen[id] = true
			r.Findings = append(r.Findings, Found{f, run.schedule, run.diagram()})
		}
	}
}

func (r *Report) audit(run *run) {
	calls, known := map[string]int{}, map[string]bool{}
	for _, a := range run.attempts {
		if a.undo {
			calls[a.step]++
			known[a.step] = known[a.step] || a.known
		}
	}
	for name, n := range run.nodes {
		if n.Undoable && r.Undos[name] == nil {
			r.Undos[name] = &UndoAudit{}
		}
	}
	counted := map[*UndoAudit]UndoAudit{} // the items of an each count as one
	for step, n := range calls {
		u := declared(r.Undos, step)
		if u == nil {
			continue
		}
		c := counted[u]
		c.Reached = 1
		if n > 1 || has(kindsAt(run.fired, step+"/undo"), Twice) {
			c.Repeated = 1
		}
		happened := slices.ContainsFunc(run.effects, func(e Effect) bool { return e.Step == step && !e.Undo && e.Effect == Applied })
		if !happened && !known[step] {
			c.NeverHappened = 1
		}
		counted[u] = c
	}
	for u, c := range counted {
		u.Reached, u.Repeated, u.NeverHappened = u.Reached+c.Reached, u.Repeated+c.Repeated, u.NeverHappened+c.NeverHappened
	}
}

func kindsAt(faults []Fault, at string) (kinds []Kind) {
	for _, f := range faults {
		if f.At == at || strings.HasPrefix(f.At, at+"#") {
			kinds = append(kinds, f.Kind)
		}
	}
	return kinds
}

// diagram draws the run from top to bottom.
func (r *run) diagram() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	if cut := len(lines) - diagramHead - diagramTail; cut > 1 { // of attempts that go on and on
		left := fmt.Sprintf("%8s   … %d more lines", "", cut)
		lines = slices.Concat(lines[:diagramHead], []string{left}, lines[len(lines)-diagramTail:])
	}
	return strings.Join(lines, "\n")
}

// How much of a long run a diagram shows.
const (
	diagramHead = 60
	diagramTail = 15
)

// Bugs lists the names of what was found.
func (r *Report) Bugs() []string {
	var names []string
	for _, f := range r.Findings {
		if !slices.Contains(names, f.Bug) {
			names = append(names, f.Bug)
		}
	}
	return names
}

// String shows the shortest failing schedule and lists the other findings, or says what was explored.
func (r *Report) String() string {
	var b strings.Builder
	if len(r.Findings) > 0 {
		first := r.Findings[0]
		fmt.Fprintf(&b, "%s\n\nschedule: %s\n\n%s\n\nreplay it: sagatest.Replay(t, %q, input, setup)\n", first.Finding, first.Schedule, first.Diagram,
			first.Schedule.String())
		for _, f := range r.Findings[1:] {
			fmt.Fprintf(&b, "also: %s\n      schedule: %s\n", f.Finding, f.Schedule)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "explored %s: %d schedules in %s, %.0f/s", r.Saga, r.Schedules, r.Elapsed.Round(time.Millisecond),
		float64(r.Schedules)/max(r.Elapsed.Seconds(), 1e-9))
	if r.Reduced > 0 {
		fmt.Fprintf(&b, ", %d left out because they differ only in order", r.Reduced)
	}
	if r.Cut > 0 {
		fmt.Fprintf(&b, "; %d MORE PAIRS WERE NOT TRIED, see Most", r.Cut)
	}
	ends := make([]string, 0, len(r.Outcomes))
	for _, o := range slices.Sorted(maps.Keys(r.Outcomes)) {
		ends = append(ends, fmt.Sprintf("%d %s", r.Outcomes[o], or(string(o), "without an end")))
	}
	fmt.Fprintf(&b, "; %s\n", strings.Join(ends, ", "))
	fired := make([]string, 0, len(r.Fired))
	for _, k := range slices.Sorted(maps.Keys(r.Fired)) {
		fired = append(fired, fmt.Sprintf("%s %d", k, r.Fired[k]))
	}
	fmt.Fprintf(&b, "faults: %s\n", strings.Join(fired, ", "))
	for _, step := range slices.Sorted(maps.Keys(r.Undos)) {
		u := r.Undos[step]
		fmt.Fprintf(&b, "undo of %s: ran in %d schedules, was repeated in %d, had nothing to take back in %d\n",
			step, u.Reached, u.Repeated, u.NeverHappened)
	}
	return strings.TrimRight(b.String(), "\n")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
