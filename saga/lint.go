package saga

import (
	"fmt"
	"slices"
	"time"
)

// Warning is something in a definition that runs, and that will probably not do what its author wants.
type Warning struct {
	Rule    string // a short stable name, for lists of exceptions
	Saga    string // name@version
	Node    string
	Problem string // what is wrong with the node and what comes of it
	Advice  string // what to do
}

// String is the warning on one line.
func (w Warning) String() string {
	return fmt.Sprintf("%s: %q %s: %s (%s)", w.Saga, w.Node, w.Problem, w.Advice, w.Rule)
}

// What counts as too short or too long.
const (
	shortDeadline  = time.Second         // nobody outside can answer in less
	longDeadline   = 90 * 24 * time.Hour // a version must stay registered until its sagas have ended
	longTx         = 5 * time.Second     // half a lease: beyond it a take-over ends the transaction
	shortReply     = time.Second         // a command and its reply cross a broker twice
	shortestBudget = 10 * time.Second    // an ordinary restart of the callee takes as long
)

// Lint looks for mistakes that [Def.Err] cannot refuse because some sagas want them, and returns them in the order of the
// definition. Run it in a test and list the exceptions by Rule and Node. The rules:
//
//   - no-undo: a step without Undo, whose effect stays when the saga turns back
//   - retriable-before-rejection: a retriable step before something that can still be rejected
//   - no-pivot: retriable steps without a pivot before them, so that a cancel takes back what stands before them only
//   - short-budget: an undo, pivot or retriable step that parks the saga after a hiccup of less than 10 s
//   - single-sending: a remote step that sends its command once, so that one lost message fails it
//   - short-reply-timeout: a remote step that waits less than 1 s for a reply
//   - long-transaction: a transaction that may take longer than 5 s
//   - short-deadline, long-deadline: an await of less than 1 s or more than 90 days
//   - single-lane: a parallel group of one
//   - shared-signal: lanes of one group, or items of an each, that await the same signal, so that chance decides which gets it
//   - lost-results: an each or a child without Into, whose last results nobody can see
func Lint(def Definition) []Warning {
	l := &linter{def: def.compiled()}
	for _, n := range l.def.nodes {
		l.compensation(n)
		l.budgets(n)
		l.waits(n)
		l.parts(n)
	}
	return l.warnings
}

type linter struct {
	def      *shape
	warnings []Warning
	noPivot  bool // reported already: one pivot mends all
}

func (l *linter) warn(n *node, rule, problem, advice string) {
	l.warnings = append(l.warnings, Warning{rule, l.def.kind(), n.name, problem, advice})
}

func (l *linter) compensation(n *node) {
	if !n.kind.isAction() {
		return
	}
	next := rejectable(n)
	switch {
	case n.class == compensatable && n.undo == nil && (n.kind != kindTx || next != nil):
		l.warn(n, "no-undo", "has no Undo, so that its effect stays when the saga turns back",
			"give it one; an Undo that does nothing says that the step only reads")
	case n.class != retriable || behindPivot(n):
	case next != nil:
		l.warn(n, "retriable-before-rejection", fmt.Sprintf("has no Undo, and %q can still be rejected", next.name),
			"move it behind, put a pivot before it, or make it a step with an Undo")
	case !l.noPivot:
		l.noPivot = true
		l.warn(n, "no-pivot", "only goes forward, but a cancel can still take back what stands before it",
			"make the last step that may be rejected a pivot")
	}
}

// rejectable finds a node behind or beside n that can turn the saga back; in an each that may be n itself, for another item.
func rejectable(n *node) *node {
	for at := n; at.parent != nil; at = at.parent {
		list, each := siblings(at), at.parent.kind == kindEach // there other items may stand anywhere in the list
		if at.parent.kind != kindParallel && !each {
			list = list[slices.Index(list, at)+1:]
		}
		for _, other := range list {
			if other == at && !each {
				continue
			}
			if found := find(other, func(x *node) bool {
				return x.class == compensatable || x.class == pivot || x.kind == kindAwait
			}); found != nil {
				return found
			}
		}
	}
	return nil
}

func behindPivot(n *node) bool {
	for at := n; at.parent != nil; at = at.parent {
		if at.parent.kind == kindParallel {
			continue
		}
		list := siblings(at)
		for _, other := range list[:slices.Index(list, at)] {
			if find(other, func(x *node) bool { return x.class == pivot }) != nil {
				return true
			}
		}
	}
	return false
}

// siblings is the list of nodes in which n stands.
func siblings(n *node) []*node {
	if slices.Contains(n.parent.otherwise, n) {
		return n.parent.otherwise
	}
	return n.parent.children
}

func find(n *node, wanted func(*node) bool) *node {
	if wanted(n) {
		return n
	}
	for _, list := range [][]*node{n.children, n.otherwise} {
		for _, c := range list {
			if found := find(c, wanted); found != nil {
				return found
			}
		}
	}
	return nil
}

func (l *linter) budgets(n *node) {
	if !n.kind.isAction() || n.publishes {
		return
	}
	const more = "raise Max or Cap; the saga waits as a row, so patience costs nothing"
	if n.class == pivot || n.class == retriable {
		if span := patience(n, n.retry); span < shortestBudget {
			l.warn(n, "short-budget", "parks the saga after failing for "+shortDuration(span), more)
		}
	}
	if n.undo != nil {
		if span := patience(n, n.undoRetry); span < shortestBudget {
			l.warn(n, "short-budget", "parks the saga after its Undo failed for "+shortDuration(span), more)
		}
	}
	if n.kind == kindRemote && n.retry.Max == 1 {
		l.warn(n, "single-sending", "sends its command once, so that one lost message or reply fails it",
			"allow two or more; participants recognise a repetition by its key")
	}
	if n.kind == kindRemote && n.timeout < shortReply {
		l.warn(n, "short-reply-timeout", "waits only "+shortDuration(n.timeout)+" for a reply before it sends again",
			"wait a second or more; a reply that comes early is taken early")
	}
	if n.kind == kindTx && n.timeout > longTx {
		l.warn(n, "long-transaction", "may hold its transaction for "+shortDuration(n.timeout)+", on SQLite the only writer",
			"keep it below "+shortDuration(longTx)+", and take waiting for others out of it into a Step")
	}
}

// patience is how long failures may last before the budget is used up, at most.
func patience(n *node, r Retry) time.Duration {
	span, wait := time.Duration(0), r.First
	for range min(r.Max, 1000) - 1 {
		span += wait
		wait = min(2*wait, r.Cap)
	}
	if n.kind == kindRemote {
		span += time.Duration(min(r.Max, 1000)) * n.timeout
	}
	return span
}

func (l *linter) waits(n *node) {
	switch {
	case n.kind == kindParallel && len(n.children) == 1:
		l.warn(n, "single-lane", "runs one node side by side with nothing", "use the node itself, or a Sequence")
	case n.kind != kindAwait:
	case n.within < shortDeadline:
		l.warn(n, "short-deadline", "waits only "+shortDuration(n.within), "wait a second or more, or leave the await out")
	case n.within > longDeadline:
		l.warn(n, "long-deadline", "may wait "+shortDuration(n.within)+", and this version must stay registered for as long",
			"end the saga before and start another when the signal comes")
	}
	if n.kind != kindAwait {
		return
	}
	for each := n.parent; each != nil; each = each.parent {
		if each.kind == kindEach && each.limit > 1 {
			l.warn(n, "shared-signal", fmt.Sprintf("awaits the signal %q for several items of %q side by side", n.signal, each.name),
				"limit the each to one item at a time, or await the signal once, outside of it")
			break
		}
	}
	for _, other := range l.def.nodes[:n.id] {
		if other.kind == kindAwait && other.signal == n.signal && fork(n, other).kind == kindParallel {
			l.warn(n, "shared-signal", fmt.Sprintf("awaits the signal %q side by side with %q", n.signal, other.name),
				"give each its own signal, or await it once before the group")
		}
	}
}

// fork is the lowest node that holds both.
func fork(a, b *node) *node {
	for at := a; at != nil; at = at.parent {
		if find(at, func(x *node) bool { return x == b }) != nil {
			return at
		}
	}
	return a
}

// parts looks for an each or a child out of which nothing comes although something is folded last in it.
func (l *linter) parts(n *node) {
	if n.open == nil || n.join != nil {
		return
	}
	lost := find(n, func(x *node) bool { return x.fold != nil && x.scopeTemplate() == n && !anythingBehind(x, n) })
	if lost != nil {
		l.warn(n, "lost-results", fmt.Sprintf("has no Into, so that nobody sees what %q folds", lost.name),
			"give it one, or leave out the Into of the step")
	}
}

// scopeTemplate is the each or the child whose state n folds into, the root outside of them.
func (n *node) scopeTemplate() *node {
	p := n.parent
	for p.parent != nil && p.kind != kindEach && p.kind != kindChild {
		p = p.parent
	}
	return p
}

// anythingBehind reports whether a node of the scope runs after n, and sees what it folded.
func anythingBehind(n, scope *node) bool {
	for at := n; at != scope; at = at.parent {
		list := siblings(at)
		if at.parent.kind != kindParallel && slices.Index(list, at) < len(list)-1 {
			return true
		}
	}
	return false
}
