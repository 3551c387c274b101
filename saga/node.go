package saga

import (
	"fmt"
	"reflect"
	"time"

	"github.com/marty-framework/mmf/data"
)

type nodeKind uint8

const (
	kindSequence nodeKind = iota
	kindParallel
	kindWhen
	kindEach  // its children are what is done for each item; the nodes of the items exist per saga
	kindItem  // of an each, in one saga
	kindChild // another definition over a part of the state
	kindAwait
	kindSleep
	kindStep
	kindTx
	kindRemote
)

var nodeKindNames = [...]string{"sequence", "parallel", "when", "each", "item", "child", "await", "sleep", "step", "tx-step", "remote"}

func (k nodeKind) String() string { return nodeKindNames[k] }

func (k nodeKind) isAction() bool { return k >= kindStep }

type class uint8

const (
	free          class = iota // neither compensated nor in the way of a pivot
	compensatable              // has, or may have, an undo
	pivot                      // the point of no return
	retriable                  // only forward
)

var classNames = [...]string{"free", "compensatable", "pivot", "retriable"}

func (c class) String() string { return classNames[c] }

// node is one compiled node with its types erased: state and result travel as any.
type node struct {
	id        int
	kind      nodeKind
	class     class
	name      string // unique in the definition; behind those of the children and eaches it stands in, as a path
	local     string // without that
	publishes bool
	sensitive bool // its payload is stored only encoded
	hasResult bool // other than None
	parent    *node
	children  []*node // of an await: what runs on its deadline
	otherwise []*node // of a when
	repeated  bool    // stands in an each: only its copies for the items run
	template  *node   // of such a copy: what it is a copy of

	retry, undoRetry     Retry
	timeout, undoTimeout time.Duration
	weight               int

	undoInOrder bool // of a parallel or an each: members are taken back one after the other
	limit, max  int  // of an each: how many items at once, and how many in all
	child       *shape

	do     func(Ctx, data.Tx, any) (any, error)
	undo   func(Ctx, data.Tx, any, any) error
	fold   func(state, result any) any
	decode func([]byte) (any, error)

	when    func(state any) bool
	sleep   func(state any) time.Duration
	signal  string
	payload reflect.Type // of the signal
	within  time.Duration
	deliver func(state any, payload []byte) (any, error)

	open func(state any) (any, error)           // of an each: its items; of a child: its input
	join func(state any, parts []any) (out any) // of these: folds the states of the parts back
}

// limitOf is how long one attempt may take.
func (n *node) limitOf(undo bool) time.Duration {
	if undo {
		return n.undoTimeout
	}
	return n.timeout
}

// turnsBack reports whether the saga is taken back when the node's budget is used up. A transactional pivot rolled back, so
// that unlike any other pivot it certainly has not happened.
func (n *node) turnsBack() bool {
	return n.class == compensatable || n.class == pivot && n.kind == kindTx
}

// scope is the node whose state n sees: an item, a child or the root.
func (n *node) scope() *node {
	for p := n.parent; p != nil; p = p.parent {
		if p.kind == kindItem || p.kind == kindChild || p.parent == nil {
			return p
		}
	}
	return n // the root
}

// copyTo copies what stands in n under another parent; add numbers each copy. In a copy for one saga the body of an each
// stays what the copies for its items are made of; in one for another definition that is copied too.
func (n *node) copyTo(parent *node, prefix string, forSaga bool, add func(*node)) *node {
	c := *n
	c.parent, c.name = parent, prefix+n.local
	if forSaga {
		c.repeated, c.template = false, n
	}
	add(&c)
	switch n.kind {
	case kindEach:
		if forSaga {
			return &c
		}
		prefix = c.name + "[]/"
	case kindChild:
		prefix = c.name + "/"
	}
	c.children = copyAll(n.children, &c, prefix, forSaga, add)
	c.otherwise = copyAll(n.otherwise, &c, prefix, forSaga, add)
	return &c
}

func copyAll(list []*node, parent *node, prefix string, forSaga bool, add func(*node)) []*node {
	if len(list) == 0 {
		return nil
	}
	out := make([]*node, 0, len(list))
	for _, n := range list {
		out = append(out, n.copyTo(parent, prefix, forSaga, add))
	}
	return out
}

// builder collects the compiled nodes of one definition and everything that is wrong with them.
type builder struct {
	name     string // of the definition
	nodes    []*node
	byName   map[string]*node
	prefix   string              // of the names in the child or the each that is being compiled
	repeated bool                // in an each
	children map[string]struct{} // names of the definitions in this one, however deep
	problems []error
}

// inside compiles what stands in an each or a child.
func (b *builder) inside(n *node, compile func()) {
	prefix, repeated := b.prefix, b.repeated
	b.prefix = n.name + "/"
	if n.kind == kindEach {
		b.prefix, b.repeated = n.name+"[]/", true
	}
	compile()
	b.prefix, b.repeated = prefix, repeated
}

// path is the whole name of a node.
func (b *builder) path(name string) string {
	if name == "" {
		return ""
	}
	return b.prefix + name
}

func (b *builder) add(n *node) *node {
	n.local, n.name = n.name, b.path(n.name)
	b.register(n)
	return n
}

// register numbers a node that bears its whole name, and checks it.
func (b *builder) register(n *node) {
	n.id, n.repeated = len(b.nodes), n.repeated || b.repeated
	b.nodes = append(b.nodes, n)
	if n.name == "" {
		b.problem(fmt.Sprintf("%s number %d", n.kind, n.id), "has no name; names are a node's identity")
		return
	}
	if !isText(n.name) {
		b.problem(n.name, "has a name that is no UTF-8 or contains NUL")
	}
	if len(n.name) > maxName {
		b.problem(n.name, fmt.Sprintf("has a name longer than %d bytes", maxName))
	}
	if _, taken := b.byName[n.name]; taken {
		b.problem(n.name, "has a name that another node has too")
	}
	b.byName[n.name] = n
	b.settle(n)
}

// settle applies the defaults that depend on what the node is and refuses settings that mean nothing.
func (b *builder) settle(n *node) {
	if n.weight < 0 {
		b.problem(n.name, "has a negative weight")
	}
	if !n.kind.isAction() {
		return
	}
	for _, r := range []Retry{n.retry, n.undoRetry} {
		if p := r.withDefaults(1).problem(); p != "" {
			b.problem(n.name, p)
		}
	}
	if n.timeout < 0 || n.undoTimeout < 0 {
		b.problem(n.name, "has a negative timeout")
	}
	if n.class == retriable && n.undo != nil {
		b.problem(n.name, "is retriable and has an Undo; a step either goes back or only forward")
	}
	attempts := 3
	if n.class == pivot || n.class == retriable || n.class == free {
		attempts = 10
	}
	n.retry = n.retry.withDefaults(attempts)
	n.undoRetry = n.undoRetry.withDefaults(10)
	if n.timeout == 0 {
		n.timeout = 30 * time.Second
		if n.kind == kindTx {
			n.timeout = 2 * time.Second
		}
	}
	if n.undoTimeout == 0 {
		n.undoTimeout = n.timeout
	}
}

func (b *builder) problem(name, what string) {
	b.problems = append(b.problems, fmt.Errorf("%q %s", name, what))
}

const maxName = 200
