package saga

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Mermaid draws the definition as a Mermaid flowchart, for a README or a review. Solid arrows are the way forward, dotted
// ones the compensation, a thick arrow leaves the pivot. Equal definitions give equal text; names are escaped.
func (s *shape) Mermaid() string { return s.mermaid(nil) }

// MermaidOf draws the same flowchart with each step in the colour of its status in the run. A step that the status does not
// name, because it is of another version, is drawn as pending.
func (s *shape) MermaidOf(run Status) string { return s.mermaid(newOverlay(s, run)) }

func (s *shape) mermaid(o *overlay) string {
	c := &chart{run: o}
	c.line("flowchart TD")
	c.depth++
	c.line(`start((" "))`)
	exits := c.list(s.root.children, []exit{{id: "start", style: "-->"}})
	c.line(`finish(((" ")))`)
	c.join(exits, "finish")
	c.undoList(s.root.children, []string{"start"})
	for _, e := range c.edges {
		c.line("%s", e)
	}
	c.classes()
	return c.String()
}

// exit is a loose end of the flow: where the next node is to be joined on.
type exit struct{ id, style, label string }

type chart struct {
	strings.Builder
	run   *overlay
	depth int
	marks []string
	edges []string // written last: an edge inside a subgraph would draw both its ends into it
}

func (c *chart) line(format string, args ...any) {
	c.WriteString(strings.Repeat("    ", c.depth))
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}

func (c *chart) join(from []exit, to string) {
	for _, e := range from {
		label := ""
		if e.label != "" {
			label = `|"` + mermaidText(e.label) + `"|`
		}
		c.edges = append(c.edges, fmt.Sprintf("%s %s%s %s", e.id, e.style, label, to))
	}
}

func (c *chart) list(nodes []*node, in []exit) []exit {
	for _, n := range nodes {
		in = c.node(n, in)
	}
	return in
}

func (c *chart) node(n *node, in []exit) []exit {
	id := mermaidID(n)
	switch n.kind {
	case kindSequence, kindParallel, kindEach, kindChild:
		c.line(`subgraph %s["%s"]`, id, mermaidText(groupLabel(n)))
		c.depth++
		var out []exit
		if n.kind != kindParallel {
			out = c.list(n.children, in)
		} else {
			c.line(`%sfork((" "))`, id)
			c.join(in, id+"fork")
			for _, lane := range n.children {
				out = append(out, c.node(lane, []exit{{id: id + "fork", style: "-->"}})...)
			}
			c.line(`%sjoin((" "))`, id)
			c.join(out, id+"join")
			out = []exit{{id: id + "join", style: "-->"}}
		}
		c.depth--
		c.line("end")
		return out
	case kindWhen:
		c.line(`%s{"%s"}`, id, mermaidText(shownName(n)))
		c.join(in, id)
		out := c.list(n.children, []exit{{id, "-->", "yes"}})
		return append(out, c.list(n.otherwise, []exit{{id, "-->", "no"}})...)
	}
	c.shape(n, id)
	c.join(in, id)
	switch {
	case n.kind == kindAwait && len(n.children) > 0:
		late := c.list(n.children, []exit{{id, "-->", "after " + shortDuration(n.within)}})
		return append([]exit{{id: id, style: "-->"}}, late...)
	case n.class == pivot:
		return []exit{{id, "==>", "point of no return"}}
	default:
		return []exit{{id: id, style: "-->"}}
	}
}

func (c *chart) shape(n *node, id string) {
	open, end := "[", "]"
	switch {
	case n.class == pivot:
		open, end = "[[", "]]"
	case n.kind == kindAwait, n.kind == kindSleep:
		open, end = "([", "])"
	case n.kind == kindTx:
		open, end = "[(", ")]"
	case n.kind == kindRemote:
		open, end = "[/", "/]"
	}
	c.line(`%s%s"%s<br/><small>%s</small>"%s`, id, open, mermaidText(shownName(n)), mermaidText(c.caption(n)), end)
	if m := c.run.mood(n); m != moodNone {
		c.marks = append(c.marks, id+" "+string(m))
	} else if n.class == pivot {
		c.marks = append(c.marks, id+" pivot")
	}
}

// caption of a step that stands for those of many items says in a run how far they are.
func (c *chart) caption(n *node) string {
	if c.run != nil && n.repeated {
		return c.run.says(n)
	}
	return caption(n)
}

// undo draws, from each step that has an undo, the way back to what is compensated next, and returns from where the way back
// goes on behind n. The way back of a parallel group leads through its join and its fork, unless nothing in it is undone.
func (c *chart) undo(n *node, in []string) []string {
	id := mermaidID(n)
	switch n.kind {
	case kindSequence, kindEach, kindChild:
		return c.undoList(n.children, in)
	case kindWhen:
		return appendNew(c.undoList(n.children, in), c.undoList(n.otherwise, in))
	case kindAwait:
		return appendNew(c.undoList(n.children, in), in)
	case kindParallel:
		if find(n, func(x *node) bool { return x.undo != nil }) == nil {
			return in
		}
		c.undoEdges(id+"fork", in)
		for _, lane := range n.children {
			if out := c.undo(lane, []string{id + "fork"}); !slices.Equal(out, []string{id + "fork"}) {
				c.undoEdges(id+"join", out)
			}
		}
		return []string{id + "join"}
	}
	if n.undo == nil {
		return in
	}
	c.undoEdges(id, in)
	return []string{id}
}

func (c *chart) undoList(nodes []*node, in []string) []string {
	for _, n := range nodes {
		in = c.undo(n, in)
	}
	return in
}

func (c *chart) undoEdges(from string, to []string) {
	for _, id := range to {
		c.edges = append(c.edges, from+" -. undo .-> "+id)
	}
}

func appendNew(to, more []string) []string {
	out := slices.Clone(to)
	for _, id := range more {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func (c *chart) classes() {
	c.line("classDef pivot stroke:#d6336c,stroke-width:3px")
	if c.run != nil {
		for _, m := range moods() {
			c.line("classDef %s %s", m, mermaidColours()[m])
		}
	}
	for _, m := range c.marks {
		c.line("class %s", m)
	}
}

func mermaidColours() map[mood]string {
	return map[mood]string{
		moodPending:  "fill:#f1f3f5,stroke:#adb5bd,color:#495057,stroke-dasharray:4 3",
		moodWaiting:  "fill:#d0ebff,stroke:#1971c2,color:#0b3d66",
		moodRetrying: "fill:#fff3bf,stroke:#e67700,color:#5c3a00",
		moodDone:     "fill:#d3f9d8,stroke:#2b8a3e,color:#1b4d26",
		moodFailed:   "fill:#ffe3e3,stroke:#c92a2a,color:#6b1515",
		moodUndoing:  "fill:#f3d9fa,stroke:#862e9c,color:#4a1a57,stroke-dasharray:4 3",
		moodUndone:   "fill:#f3d9fa,stroke:#862e9c,color:#4a1a57",
		moodParked:   "fill:#c92a2a,stroke:#7d1a1a,color:#ffffff",
	}
}

func mermaidID(n *node) string { return fmt.Sprintf("n%d", n.id) }

// mermaidText escapes all but harmless characters as the entity codes of Mermaid, so that no name can end a label, start
// markup or be taken for a keyword.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			b.WriteByte(' ')
		case unicode.IsLetter(r), unicode.IsDigit(r), strings.ContainsRune(" -_.,:·/()", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
