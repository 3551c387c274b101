package saga

// share is how much a node counts beside its neighbours.
func (n *node) share() float64 {
	if n.weight > 0 {
		return float64(n.weight)
	}
	if n.kind >= kindAwait {
		return 1
	}
	return max(sumShares(n.children), sumShares(n.otherwise)) // of the ways of a condition the longer one
}

func sumShares(list []*node) (sum float64) {
	for _, n := range list {
		sum += n.share()
	}
	return sum
}

// progress is the weighted share of the saga that is done, from 0 to 1.
func (m *machine) progress() float64 {
	if m.outcome == Completed {
		return 1
	}
	return m.progressOf(m.def.root.children)
}

func (m *machine) progressOf(list []*node) float64 {
	all, sum := 0.0, 0.0
	for _, n := range list {
		share := n.share()
		all += share
		sum += share * m.done(n)
	}
	if all == 0 {
		return 1
	}
	return sum / all
}

// done is how much of a node is done, from 0 to 1.
func (m *machine) done(n *node) float64 {
	ns := &m.nodes[n.id]
	switch {
	case n.kind == kindWhen && !ns.decided, (n.kind == kindEach || n.kind == kindChild) && ns.scope == nil:
		return 0
	case n.kind == kindEach:
		if len(ns.scope.items) == 0 {
			return 1
		}
		all := 0.0
		for _, item := range ns.scope.items {
			all += m.progressOf(item.children)
		}
		return all / float64(len(ns.scope.items))
	case n.kind == kindAwait && ns.status == expired, n.kind < kindAwait:
		return m.progressOf(m.taken(n))
	case ns.over() && ns.status != undone:
		return 1
	}
	return 0
}
