package saga

import (
	"slices"
	"time"
)

// NodeInfo describes one node of a definition, for tools: test kits, consoles, reviews.
type NodeInfo struct {
	Name     string
	Kind     string // sequence, parallel, when, await, sleep, step, tx-step, remote, …
	Class    string // of what is carried out: free, compensatable, pivot, retriable
	Undoable bool   // it has a compensation
	// Folded says that its result goes into the state; HasResult, that it has one.
	Folded, HasResult bool

	Signal  string        // of an await
	Within  time.Duration // of an await
	Timeout time.Duration // of one attempt
	Retry   Retry         // of the forward direction
	Undo    Retry         // of the compensation

	Children  []NodeInfo // of an await: what runs on its deadline
	Otherwise []NodeInfo // of a when
}

// Carried reports whether the node is a unit of work with attempts, rather than a group or a wait.
func (n NodeInfo) Carried() bool { return n.Class != "" }

// Tree describes the definition's nodes in the order in which they are declared.
func (s *shape) Tree() []NodeInfo { return infos(s.root.children) }

func infos(nodes []*node) []NodeInfo {
	out := make([]NodeInfo, 0, len(nodes))
	for _, n := range nodes {
		i := NodeInfo{
			Name: n.name, Kind: n.kind.String(), Undoable: n.undo != nil, Folded: n.fold != nil, HasResult: n.hasResult,
			Signal: n.signal, Within: n.within, Children: infos(n.children), Otherwise: infos(n.otherwise),
		}
		if n.kind.isAction() {
			i.Class, i.Timeout, i.Retry, i.Undo = n.class.String(), n.timeout, n.retry, n.undoRetry
		}
		out = append(out, i)
	}
	return out
}

// Walk visits the nodes of a tree, parents first, and tells their parents, the outermost first.
func Walk(nodes []NodeInfo, visit func(n NodeInfo, parents []NodeInfo)) { walk(nodes, nil, visit) }

func walk(nodes, parents []NodeInfo, visit func(NodeInfo, []NodeInfo)) {
	for _, n := range nodes {
		visit(n, parents)
		below := append(slices.Clip(parents), n)
		walk(n.Children, below, visit)
		walk(n.Otherwise, below, visit)
	}
}
