package saga

import (
	"fmt"
	"slices"
	"strings"
)

// Frontier is a point at which a saga may stand: what is done, and what is under way.
type Frontier struct {
	// Done are the completed nodes in the order of the definition. A decided condition stands as "name=yes" or "name=no", an
	// await whose deadline passed as "name=expired", an each that has its items and a child that has its input as "name=opened".
	// Of an each one item stands for all, as none waits for another.
	Done []string
	// Active are the nodes that may have been attempted, or that wait.
	Active []string
	// Compatible is whether a saga that stands here could continue under the other definition; if not, Reason says why.
	Compatible bool
	Reason     string
}

// String is the frontier on one line.
func (f Frontier) String() string {
	verdict := "compatible"
	if !f.Compatible {
		verdict = "incompatible: " + f.Reason
	}
	return fmt.Sprintf("done [%s], active [%s]: %s", strings.Join(f.Done, " "), strings.Join(f.Active, " "), verdict)
}

// mark is how far a node is at a frontier.
type mark string

const (
	markActive    mark = "active"
	markUndecided mark = "undecided"
	markDone      mark = "done"
	markYes       mark = "yes"
	markNo        mark = "no"
	markExpired   mark = "expired"
	markOpened    mark = "opened"
)

// marked is a node and how far it is.
type marked struct {
	n *node
	m mark
}

// standing is one way in which a part of the tree may stand.
type standing struct {
	marks    []marked
	complete bool
}

func frontiers(from, to *shape) (out []Frontier, truncated bool) {
	w := &walker{}
	for _, s := range w.list(from.root.children) {
		if s.complete {
			continue // the saga has ended
		}
		f := Frontier{}
		for _, x := range s.marks {
			switch x.m {
			case markDone:
				f.Done = append(f.Done, x.n.name)
			case markActive, markUndecided:
				f.Active = append(f.Active, x.n.name)
			default:
				f.Done = append(f.Done, x.n.name+"="+string(x.m))
			}
		}
		f.Reason = mismatch(from, to, s.marks)
		f.Compatible = f.Reason == ""
		out = append(out, f)
	}
	return out, w.truncated
}

// walker enumerates every way in which a part of the tree may stand.
type walker struct{ truncated bool }

func (w *walker) list(nodes []*node) []standing {
	var out []standing
	before := []standing{{complete: true}}
	for _, n := range nodes {
		var after []standing
		ways := w.node(n)
		for _, b := range before {
			for _, s := range ways {
				s.marks = slices.Concat(b.marks, s.marks)
				if s.complete {
					after = w.add(after, s)
				} else {
					out = w.add(out, s)
				}
			}
		}
		before = after
	}
	for _, b := range before {
		out = w.add(out, b)
	}
	return out
}

func (w *walker) add(list []standing, s standing) []standing {
	if len(list) >= MaxFrontiers {
		w.truncated = true
		return list
	}
	return append(list, s)
}

func (w *walker) node(n *node) []standing {
	under := func(m mark, nodes []*node) []standing {
		out := w.list(nodes)
		for i := range out {
			out[i].marks = append([]marked{{n, m}}, out[i].marks...)
		}
		return out
	}
	switch n.kind {
	case kindSequence:
		return w.list(n.children)
	case kindEach, kindChild:
		return append([]standing{{marks: []marked{{n, markUndecided}}}}, under(markOpened, n.children)...)
	case kindParallel:
		out := []standing{{complete: true}}
		for _, lane := range n.children {
			var next []standing
			ways := w.node(lane)
			for _, b := range out {
				for _, s := range ways {
					next = w.add(next, standing{slices.Concat(b.marks, s.marks), b.complete && s.complete})
				}
			}
			out = next
		}
		return out
	case kindWhen:
		out := []standing{{marks: []marked{{n, markUndecided}}}}
		return slices.Concat(out, under(markYes, n.children), under(markNo, n.otherwise))
	}
	out := []standing{{marks: []marked{{n, markActive}}}, {marks: []marked{{n, markDone}}, complete: true}}
	if n.kind == kindAwait && len(n.children) > 0 {
		out = append(out, under(markExpired, n.children)...)
	}
	return out
}

// mismatch tells why a saga of one definition that stands here cannot continue under the other, or "" if it can.
func mismatch(from, to *shape, marks []marked) string {
	if a, b := stateType(from), stateType(to); a != b {
		return fmt.Sprintf("the state was a %v", a)
	}
	at := map[string]mark{}
	for _, x := range marks {
		if x.m == markUndecided {
			continue // evaluated without a trace: whatever stands here now may be evaluated instead
		}
		at[x.n.name] = x.m
		is := to.byName[x.n.name]
		if is == nil {
			return fmt.Sprintf("%q has run or may have, and was removed", x.n.name)
		}
		if what := breaking(x.n, is); len(what) > 0 {
			return fmt.Sprintf("%q has run or may have, and was altered: %s", x.n.name, strings.Join(what, ", "))
		}
	}
	p := &past{at: at}
	if p.outline(from.root.children) != p.outline(to.root.children) {
		return "what has run or may have stands in another order or group"
	}
	p.list(to.root.children)
	return p.reason
}

// past looks at a tree as the marks of a frontier show it.
type past struct {
	at     map[string]mark
	reason string
}

// outline writes down the marked part of a tree: what runs in which order and side by side with what. Sequences leave no
// trace in it, and neither do the names of parallel groups: no journal mentions them.
func (p *past) outline(nodes []*node) string {
	var b strings.Builder
	for _, n := range nodes {
		switch n.kind {
		case kindSequence:
			b.WriteString(p.outline(n.children))
			continue
		case kindParallel:
			var lanes []string
			for _, c := range n.children {
				if lane := p.outline([]*node{c}); lane != "" {
					lanes = append(lanes, lane)
				}
			}
			if len(lanes) > 0 {
				b.WriteString("{" + strings.Join(lanes, "|") + "}")
			}
			continue
		}
		inside, otherwise := p.outline(n.children), p.outline(n.otherwise)
		if m := p.at[n.name]; m != "" || inside != "" || otherwise != "" {
			fmt.Fprintf(&b, "%q=%s(%s|%s);", n.name, m, inside, otherwise)
		}
	}
	return b.String()
}

// list finds a marked node behind one that is not complete, and returns the first incomplete node, nil if there is none.
func (p *past) list(nodes []*node) (missing *node) {
	for _, n := range nodes {
		if missing != nil {
			if ran := find(n, func(x *node) bool { return p.at[x.name] != "" }); ran != nil && p.reason == "" {
				p.reason = fmt.Sprintf("%q would have had to run before %q", missing.name, ran.name)
			}
			continue
		}
		missing = p.node(n)
	}
	return missing
}

func (p *past) node(n *node) (missing *node) {
	m := p.at[n.name]
	switch {
	case n.kind == kindSequence:
		return p.list(n.children)
	case n.kind == kindParallel:
		for _, lane := range n.children {
			if x := p.node(lane); missing == nil {
				missing = x
			}
		}
		return missing
	case m == markYes, m == markExpired, m == markOpened:
		missing = p.list(n.children)
	case m == markNo:
		missing = p.list(n.otherwise)
	case m != markDone:
		return n
	}
	return missing
}
