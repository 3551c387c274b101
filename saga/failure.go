package saga

import (
	"errors"
	"time"
)

// failure says what a failed attempt means: try again, give the outcome up as unknown, or park.
func (a *activation) failure(n *node, undo bool, err error, now time.Time) []Record {
	ns := &a.m.nodes[n.id]
	reason := truncate(err.Error(), 2000)
	var reject *RejectError
	refused := errors.As(err, &reject)
	if refused {
		reason = truncate(reject.Reason, 2000)
	}
	failed, forgiven, budget := ns.failed+1, ns.forgiven, n.retry
	if undo {
		failed, forgiven, budget = ns.undoFailed+1, ns.undoForgiven, n.undoRetry
	}
	rec := Record{Kind: Failed, Node: n.name, Undo: undo, Attempt: failed, Reason: reason}
	park := Record{Kind: Parked, Node: n.name, Reason: reason}
	exhausted := failed-forgiven >= budget.Max
	switch {
	case undo && (exhausted || refused):
		return []Record{rec, park}
	case refused && n.class != compensatable && a.m.pivotDone():
		return []Record{rec, park}
	case refused && a.tried(n):
		return []Record{{Kind: Unknown, Node: n.name, Reason: reason}}
	case refused:
		return []Record{{Kind: Rejected, Node: n.name, Reason: reason}}
	case !undo && a.m.dir == backward && n.class != pivot:
		return []Record{a.lost(n, reason)}
	case (exhausted || errors.Is(err, ErrTooLarge)) && !n.turnsBack():
		return []Record{rec, park}
	case exhausted, errors.Is(err, ErrTooLarge):
		return []Record{a.lost(n, reason)}
	}
	rec.Due = now.Add(budget.wait(failed - forgiven))
	return []Record{rec}
}

// tried reports whether an earlier attempt of the step may have had an effect, or may still have it: a refusal says nothing of
// a request that is late. Such a step is taken back.
func (a *activation) tried(n *node) bool {
	return n.class == compensatable && n.kind != kindTx && a.m.nodes[n.id].failed > 0
}

// lost gives a step up: a transactional one rolled back and so had no effect, any other may have had one.
func (a *activation) lost(n *node, reason string) Record {
	if n.kind == kindTx {
		return Record{Kind: Rejected, Node: n.name, Reason: reason}
	}
	return Record{Kind: Unknown, Node: n.name, Reason: reason}
}
