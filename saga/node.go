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
	kindAwait
	kindSleep
	kindStep
	kindTx
	kindRemote
)

var nodeKindNames = [...]string{"sequence", "parallel", "when", "await", "sleep", "step", "tx-step", "remote"}

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
	name      string
	publishes bool
	hasResult bool // other than None
	parent    *node
	children  []*node // of an await: what runs on its deadline
	otherwise []*node // of a when

	retry, undoRetry Retry
	timeout          time.Duration

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
}

// builder collects the compiled nodes of one definition and everything that is wrong with them.
type builder struct {
	nodes    []*node
	byName   map[string]*node
	problems []error
}

func (b *builder) add(n *node) *node {
	n.id = len(b.nodes)
	b.nodes = append(b.nodes, n)
	if n.name == "" {
		b.problem(fmt.Sprintf("%s number %d", n.kind, n.id), "has no name; names are a node's identity")
		return n
	}
	if len(n.name) > maxName {
		b.problem(n.name, fmt.Sprintf("has a name longer than %d bytes", maxName))
	}
	if _, taken := b.byName[n.name]; taken {
		b.problem(n.name, "has a name that another node has too")
	}
	b.byName[n.name] = n
	b.settle(n)
	return n
}

// settle applies the defaults that depend on what the node is and refuses settings that mean nothing.
func (b *builder) settle(n *node) {
	if !n.kind.isAction() {
		return
	}
	for _, r := range []Retry{n.retry, n.undoRetry} {
		if p := r.withDefaults(1).problem(); p != "" {
			b.problem(n.name, p)
		}
	}
	if n.timeout < 0 {
		b.problem(n.name, "has a negative timeout")
	}
	if n.class == pivot && n.undo != nil {
		b.problem(n.name, "is a pivot and has an Undo; behind the point of no return nothing is taken back")
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
}

func (b *builder) problem(name, what string) {
	b.problems = append(b.problems, fmt.Errorf("%q %s", name, what))
}

const maxName = 200
