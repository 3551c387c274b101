package saga

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// ChangeKind says how two versions of a definition differ in a node.
type ChangeKind string

// The kinds of changes.
const (
	NodeAdded   ChangeKind = "added"
	NodeRemoved ChangeKind = "removed"
	NodeMoved   ChangeKind = "moved"   // to another group, or past one of its neighbours
	NodeAltered ChangeKind = "altered" // kind, class, undo, types, retry, timeout, signal, deadline, limit or child
)

// Change is one difference between two versions of a definition.
type Change struct {
	Kind ChangeKind
	Node string // "" for the definition as a whole
	What string // for people: "timeout 30s → 5s"
}

// String is the change on one line.
func (c Change) String() string {
	s := fmt.Sprintf("%s %q", c.Kind, c.Node)
	if c.Node == "" {
		s = string(c.Kind) + " definition"
	}
	if c.What != "" {
		s += ": " + c.What
	}
	return s
}

// Difference is what [Diff] finds.
type Difference struct {
	// Changes in the order of the new definition, removals first.
	Changes []Change
	// Frontiers are the points at which a saga of the old definition may stand, in the order in which it reaches them.
	Frontiers []Frontier
	// Truncated is set when there are more frontiers than are listed, which are [MaxFrontiers].
	Truncated bool
}

// MaxFrontiers bounds how many frontiers [Diff] looks at: parallel lanes multiply them.
const MaxFrontiers = 10_000

// Compatible reports whether a saga could continue under the new definition wherever it stands. It is false when not all
// frontiers were looked at.
func (d Difference) Compatible() bool {
	return !d.Truncated && !slices.ContainsFunc(d.Frontiers, func(f Frontier) bool { return !f.Compatible })
}

// String lists changes and frontiers, one on a line.
func (d Difference) String() string {
	var b strings.Builder
	for _, c := range d.Changes {
		fmt.Fprintln(&b, c)
	}
	for _, f := range d.Frontiers {
		fmt.Fprintln(&b, f)
	}
	if d.Truncated {
		fmt.Fprintf(&b, "and more: only the first %d places are listed\n", len(d.Frontiers))
	}
	return b.String()
}

// Diff compares two versions of a definition. It tells what changed, and for every point at which a saga of the old one may
// stand whether it could continue under the new one, as if it had always run there. It can if every node that is done or
// may have been attempted is still there, unchanged in kind, class and type of result, still with its Undo if it had one,
// in the same order and groups, and nothing new would have had to run before. Budgets, timeouts, deadlines, limits and the
// version of a child may differ; the nodes of a child and of an each's items are judged like all others.
// Functions are not compared: that a step of the same name still means the same is for its author to know.
//
// The engine never moves a saga to another version by itself. Use Diff in a review, or to decide how long the old version
// must stay registered. The error tells that one of the definitions cannot run, or that they are not of the same name.
func Diff(older, newer Definition) (Difference, error) {
	if err := errors.Join(older.Err(), newer.Err()); err != nil {
		return Difference{}, err
	}
	from, to := older.compiled(), newer.compiled()
	if from.name != to.name {
		return Difference{}, fmt.Errorf("saga: diff: %q and %q are two sagas, not two versions of one", from.name, to.name)
	}
	d := Difference{Changes: changes(from, to)}
	d.Frontiers, d.Truncated = frontiers(from, to)
	return d, nil
}

func changes(from, to *shape) []Change {
	var out []Change
	add := func(k ChangeKind, node, what string) { out = append(out, Change{k, node, what}) }
	if a, b := stateType(from), stateType(to); a != b {
		add(NodeAltered, "", fmt.Sprintf("state %v → %v", a, b))
	}
	for _, n := range from.nodes[1:] {
		if to.byName[n.name] == nil {
			add(NodeRemoved, n.name, n.kind.String())
		}
	}
	moved := movedNodes(from, to)
	for _, n := range to.nodes[1:] {
		was := from.byName[n.name]
		if was == nil {
			add(NodeAdded, n.name, n.kind.String()+" in "+place(n))
			continue
		}
		if a, b := place(was), place(n); a != b {
			add(NodeMoved, n.name, a+" → "+b)
		} else if moved[n.name] {
			add(NodeMoved, n.name, "within "+a)
		}
		if what := append(breaking(was, n), harmless(was, n)...); len(what) > 0 {
			add(NodeAltered, n.name, strings.Join(what, ", "))
		}
	}
	return out
}

func stateType(s *shape) reflect.Type { return zeroType(s.decodeState) }

// zeroType is the type that a decoder makes; decoders give the zero value for no input.
func zeroType(decode func([]byte) (any, error)) reflect.Type {
	if decode == nil {
		return nil
	}
	v, _ := decode(nil)
	return reflect.TypeOf(v)
}

// place names the list of nodes in which n stands.
func place(n *node) string {
	switch p := n.parent; {
	case p.parent == nil:
		return "the definition"
	case slices.Contains(p.otherwise, n):
		return fmt.Sprintf("otherwise of %q", p.name)
	case p.kind == kindAwait:
		return fmt.Sprintf("the deadline of %q", p.name)
	default:
		return fmt.Sprintf("%q", p.name)
	}
}

// movedNodes names, for each list, the fewest nodes whose removal leaves the others in their old order.
func movedNodes(from, to *shape) map[string]bool {
	lists := map[string][]*node{}
	for _, n := range to.nodes[1:] {
		if was := from.byName[n.name]; was != nil && place(was) == place(n) {
			lists[place(n)] = append(lists[place(n)], was)
		}
	}
	moved := map[string]bool{}
	for _, list := range lists {
		// best[i] is the longest run of ascending ids that ends with i; list[i].id is the old position.
		best, prev, last := make([]int, len(list)), make([]int, len(list)), -1
		for i, n := range list {
			best[i], prev[i] = 1, -1
			for j := range i {
				if list[j].id < n.id && best[j] >= best[i] {
					best[i], prev[i] = best[j]+1, j
				}
			}
			if last < 0 || best[i] > best[last] {
				last = i
			}
			moved[n.name] = true
		}
		for i := last; i >= 0; i = prev[i] {
			delete(moved, list[i].name)
		}
	}
	return moved
}

// breaking tells the differences with which a node that has run cannot be taken for the same.
func breaking(a, b *node) []string {
	var out []string
	differ(&out, "kind", nodeKindName(a), nodeKindName(b))
	if a.kind == b.kind {
		differ(&out, "class", a.class.String(), b.class.String())
		differ(&out, "signal", a.signal, b.signal)
		differ(&out, "payload", fmt.Sprint(a.payload), fmt.Sprint(b.payload))
	}
	if a.kind.isAction() && b.kind.isAction() {
		differ(&out, "result", fmt.Sprint(zeroType(a.decode)), fmt.Sprint(zeroType(b.decode)))
	}
	if a.kind == b.kind && a.open != nil && b.open != nil {
		what := "item"
		if a.kind == kindChild {
			what = "state"
		}
		differ(&out, what, fmt.Sprint(zeroType(a.decode)), fmt.Sprint(zeroType(b.decode)))
	}
	if a.undo != nil && b.undo == nil {
		out = append(out, "undo removed")
	}
	return out
}

func nodeKindName(n *node) string {
	if n.publishes {
		return "publish"
	}
	return n.kind.String()
}

// harmless tells the differences that do not matter to a saga under way.
func harmless(a, b *node) []string {
	var out []string
	if a.undo == nil && b.undo != nil {
		out = append(out, "undo added")
	}
	if a.kind == kindAwait && b.kind == kindAwait {
		differ(&out, "deadline", shortDuration(a.within), shortDuration(b.within))
	}
	if a.kind == kindEach && b.kind == kindEach {
		differ(&out, "limit", strconv.Itoa(a.limit), strconv.Itoa(b.limit))
		differ(&out, "maximum", strconv.Itoa(a.max), strconv.Itoa(b.max))
	}
	if a.child != nil && b.child != nil {
		differ(&out, "definition", a.child.kind(), b.child.kind()) // whether its nodes fit is told of each
	}
	if a.kind.isAction() && b.kind.isAction() {
		differ(&out, "retry", a.retry.text(), b.retry.text())
		differ(&out, "undo retry", a.undoRetry.text(), b.undoRetry.text())
		differ(&out, "timeout", shortDuration(a.timeout), shortDuration(b.timeout))
	}
	return out
}

func (r Retry) text() string {
	return fmt.Sprintf("%d×%s..%s", r.Max, shortDuration(r.First), shortDuration(r.Cap))
}

func differ(out *[]string, what, a, b string) {
	if a != b {
		*out = append(*out, fmt.Sprintf("%s %s → %s", what, a, b))
	}
}
