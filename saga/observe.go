package saga

import (
	"context"
	"errors"
	"strings"
	"time"
)

func noMore(error) {}

func (e *Engine) starting(ctx context.Context, def *shape, id ID) (context.Context, func(error)) {
	h := e.cfg.Hooks.Starting
	if h == nil {
		return ctx, noMore
	}
	ctx, done := h(ctx, SagaEvent{Saga: def.name, Version: def.version, ID: id})
	if done == nil {
		done = noMore
	}
	return ctx, done
}

func (a *AttemptInfo) event() AttemptEvent {
	return AttemptEvent{Saga: a.Saga, ID: a.SagaID, Step: a.Step, Direction: a.Direction, Attempt: a.Attempt}
}

func (e *Engine) attempting(ctx context.Context, info *AttemptInfo) context.Context {
	if h := e.cfg.Hooks.Attempting; h != nil {
		return h(ctx, info.event())
	}
	return ctx
}

func (e *Engine) attempted(ctx context.Context, info *AttemptInfo, r *attemptResult) {
	h := e.cfg.Hooks.Attempted
	if h == nil {
		return
	}
	ev := info.event()
	ev.Outcome, ev.Err, ev.Duration = "done", r.err, r.took
	switch {
	case r.void:
		ev.Outcome = "void"
	case r.err != nil && errors.As(r.err, new(*RejectError)):
		ev.Outcome = "rejected"
	case r.err != nil:
		ev.Outcome = "failed"
	case r.node.kind == kindRemote:
		ev.Outcome = "sent"
	}
	h(ctx, ev)
}

// examine looks at a record before it is folded in: whether it contradicts a promise, and whether it ends a wait.
func (a *activation) examine(r Record) {
	h := &a.w.e.cfg.Hooks
	if h.Violated == nil && h.Waited == nil || r.Node == "" {
		return
	}
	n := a.m.node(r.Node)
	if n == nil {
		return // folding it in fails
	}
	ns := &a.m.nodes[n.id]
	if h.Violated != nil {
		if what := a.m.contradiction(n, ns, r); what != "" {
			e := a.m.event()
			e.Step, e.Reason = n.name, what
			h.Violated(a.values(), e)
		}
	}
	if h.Waited != nil && (ns.status == armed || ns.status == undoArmed) {
		if outcome := waitOutcome(r.Kind); outcome != "" {
			a.waits = append(a.waits, WaitEvent{
				Saga: a.m.def.name, ID: a.m.id, Step: n.name, Kind: n.kind.String(), Outcome: outcome, Began: ns.at, Duration: r.At.Sub(ns.at),
			})
		}
	}
}

// contradiction says which promise a record would break, or nothing.
func (m *machine) contradiction(n *node, ns *nodeState, r Record) string {
	if r.Kind != Done || !n.kind.isAction() {
		return ""
	}
	switch {
	case r.Undo && m.pivotDone():
		return "SAFE-9: a step is taken back behind the point of no return"
	case r.Undo && ns.status != done && ns.status != unknown && ns.status != undoRetrying && ns.status != undoArmed:
		return "SAFE-5: a step is taken back that is " + ns.status.String()
	case !r.Undo && ns.known:
		return "SAFE-1: a step is done twice"
	case !r.Undo && m.dir == backward && !ns.open:
		return "SAFE-7: a step is done after the saga turned back"
	}
	return ""
}

func waitOutcome(k RecordKind) string {
	switch k {
	case Done:
		return "done"
	case Rejected:
		return "rejected"
	case Expired, Failed, Unknown:
		return "expired"
	default:
		return ""
	}
}

// tellOf tells the hooks what durable records mean.
func (a *activation) tellOf(records []Record) {
	h := &a.w.e.cfg.Hooks
	for _, w := range a.waits {
		h.Waited(a.values(), w)
	}
	a.waits = nil
	if h.Unknown != nil {
		for _, r := range records {
			if r.Kind == Unknown {
				h.Unknown(a.values(), SagaEvent{Saga: a.m.def.name, Version: a.m.def.version, ID: a.m.id, Step: r.Node, Reason: r.Reason})
			}
		}
	}
	if a.m.dir == backward && !a.turned {
		a.turned = true
		if h.TurnedBack != nil {
			h.TurnedBack(a.values(), a.m.event())
		}
	}
}

func (w *worker) tellFenced() {
	h := w.e.cfg.Hooks.Fenced
	if h == nil {
		return
	}
	lanes := map[string]int{}
	w.mu.Lock()
	for _, l := range w.lanes {
		if w.e.defs[l.Kind] != nil {
			lanes[nameOf(l.Kind)]++
		}
	}
	w.mu.Unlock()
	for name, n := range lanes {
		h(w.ctx, NodeEvent{Saga: name, Lanes: n})
	}
}

func (w *worker) tellRecovered(kinds map[string]int) {
	h := w.e.cfg.Hooks.Recovered
	if h == nil {
		return
	}
	found := map[string]int{}
	for kind, n := range kinds {
		found[nameOf(kind)] += n
	}
	for name, n := range found {
		h(w.ctx, NodeEvent{Saga: name, Sagas: n})
	}
}

// nameOf is the definition's name in name@version.
func nameOf(kind string) string {
	name, _, _ := strings.Cut(kind, "@")
	return name
}

// born is when a saga's id was made, which is when it was started.
func (u UID) born() time.Time {
	var ms int64
	for _, b := range u[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}
