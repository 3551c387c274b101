package saga

import (
	"fmt"
	"slices"
	"time"
)

type status uint8

const (
	pending  status = iota
	retrying        // an attempt failed, another may follow
	armed           // waiting: for a signal, for time, for a reply
	expired         // an await whose deadline passed; its OnDeadline nodes run
	done
	rejected
	unknown
	skipped
	undoRetrying
	undoArmed
	undone
	passedOver  // by an operator: counts as done, without a result
	undoSkipped // by an operator: stays as it is
)

var statusNames = [...]string{
	"pending", "retrying", "waiting", "expired", "done", "rejected", "unknown", "skipped", "undo-retrying", "undo-waiting", "undone",
	"skipped-by-hand", "undo-skipped",
}

func (s status) String() string { return statusNames[s] }

// nodeState is what the journal says about one node.
type nodeState struct {
	status       status
	failed       int // attempts that failed, forward
	undoFailed   int
	forgiven     int // forward failures that no longer count, because the saga was resumed by hand
	undoForgiven int
	due          time.Time
	at           time.Time // of the newest record
	known        bool      // result is the step's own
	result       any
	lastErr      string
	open         bool // may have been attempted, has no outcome, and the saga turned back
	decided, yes bool // of a when
	late         int  // successes that came after the step had been given up
	origin       *UID // of a fork: the saga under whose key the step ran
	finished     bool // of an item: nothing is left to do for it forward
	scope        *scope
}

// scope is an each that got its items, an item, or a child that got its input.
type scope struct {
	input []byte  // of an item or a child: its state at first
	items []*node // of an each
}

type direction uint8

const (
	forward direction = iota
	backward
)

// machine is the fold of one saga's journal: the pure decision core. It has no clock and does no I/O; apply takes a record
// in, next says what is to be done.
type machine struct {
	def   *shape
	id    ID
	seq   int64
	dir   direction
	all   []*node          // by id: those of the definition, then those that exist for this saga only
	own   map[string]*node // the latter by name; nil until there are some
	nodes []nodeState      // by id
	input []byte
	meta  map[string]string

	started, ended time.Time
	outcome        Outcome
	parkedAt       string
	parkReason     string
	parked         bool
	paused         bool
	causeStep      string
	cause          string
	actor          string
	queue          string // in which it was started
	queued         bool   // and waits to be admitted

	signals []pendingSignal
	seen    map[string]struct{} // dedupe keys of signals; nil until there are some
	late    map[string]struct{} // signals whose newest await passed its deadline; nil until there are some

	state any // of the root scope; branches of running groups are computed on demand

	cmds []Command // of next, reused
}

type pendingSignal struct {
	name    string
	payload []byte
}

func newMachine(def *shape, id ID) *machine {
	return &machine{def: def, id: id, all: slices.Clip(def.nodes), nodes: make([]nodeState, len(def.nodes))}
}

// node finds a node by the name that journals and operators know it by, nil if there is none.
func (m *machine) node(name string) *node {
	if n := m.own[name]; n != nil {
		return n
	}
	if n := m.def.byName[name]; n != nil && !n.repeated {
		return n
	}
	return nil
}

// note adds to a set that is usually empty.
func note(set *map[string]struct{}, key string) {
	if *set == nil {
		*set = map[string]struct{}{}
	}
	(*set)[key] = struct{}{}
}

// apply folds the next record in. An error means that the journal and the definition do not fit together, or that a
// function of the definition panicked; the machine then is of no more use.
func (m *machine) apply(r Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("saga: %s: folding record %d of step %q panicked: %v", m.id, r.Seq, r.Node, m.def.panicked(p))
		}
	}()
	if r.Seq != m.seq+1 {
		return fmt.Errorf("saga: %s: journal has record %d after %d", m.id, r.Seq, m.seq)
	}
	if r.Sealed != nil {
		return fmt.Errorf("saga: %s: the payload of journal record %d was not opened", m.id, r.Seq)
	}
	m.seq = r.Seq
	if r.Dedupe != "" && r.Kind != Signalled {
		note(&m.seen, ticketKey(r.Dedupe))
	}
	var n *node
	var ns *nodeState
	if r.Node != "" {
		n = m.node(r.Node)
		if n == nil {
			return fmt.Errorf("saga: %s: journal names step %q, which %s does not have", m.id, r.Node, m.def.kind())
		}
		ns = &m.nodes[n.id]
		ns.at = r.At
	}
	if err := m.applyKind(r, n, ns); err != nil {
		return err
	}
	if r.End != outcomeNone {
		m.outcome, m.ended = r.End, r.At
	}
	return nil
}

// trial is a machine as it is after one more record, and what it was before, since both share the states of nodes: there
// may be thousands of them.
type trial struct {
	machine
	was []wasState
}

type wasState struct {
	id    int
	state nodeState
}

// after applies the record of a carried out step and tells whether the saga ends with it, so that both can be one. Until
// the trial is taken back the machine must not be used, and after that it is as it was.
func (m *machine) after(r Record) (_ *trial, _ Outcome, err error) {
	t := &trial{machine: *m}
	t.cmds = nil
	n := m.node(r.Node)
	for p := n; p != nil; p = p.parent { // no record of a step changes others
		t.was = append(t.was, wasState{p.id, m.nodes[p.id]})
	}
	defer func() {
		if err != nil {
			t.takeBack()
		}
	}()
	if n != nil && !m.def.flat && r.Kind == Done && !r.Undo && outermostGroup(n) == nil { // a group computes its own
		if t.state, err = m.compute(m.def.root, nil); err != nil { // in memory that the machine does not share
			return nil, outcomeNone, err
		}
	}
	if err = t.apply(r); err != nil {
		return nil, outcomeNone, err
	}
	if next := t.next(); len(next) == 1 && next[0].Op == OpEnd {
		t.outcome, t.ended = next[0].Outcome, r.At
	}
	return t, t.outcome, nil
}

// takeBack makes the machine that the trial was made of what it was.
func (t *trial) takeBack() {
	if t == nil {
		return
	}
	for _, w := range t.was {
		t.nodes[w.id] = w.state
	}
	t.was = nil
}

func (m *machine) applyKind(r Record, n *node, ns *nodeState) error {
	if n == nil && slices.Contains([]RecordKind{Done, Failed, Rejected, Unknown, Branched, Armed, Expired, Opened}, r.Kind) {
		return fmt.Errorf("saga: %s: journal record %d (%s) names no step", m.id, r.Seq, r.Kind)
	}
	switch r.Kind {
	case Started:
		state, err := r.value, error(nil)
		if state == nil {
			state, err = m.def.decodeState(r.Payload)
		}
		if err != nil {
			return fmt.Errorf("saga: %s: input does not decode: %w", m.id, err)
		}
		m.state, m.input, m.meta, m.started = state, r.Payload, r.Meta, r.At
		m.queue, m.queued = r.Name, r.Name != ""
	case Admitted:
		m.queued = false
	case Done:
		return m.applyDone(r, n, ns)
	case Failed:
		m.applyFailed(r, n, ns)
	case Rejected:
		if r.Actor != "" {
			m.unpark(n)
		}
		ns.status, ns.open, ns.lastErr = rejected, false, r.Reason
		m.turnBack(n.name, r.Reason, r.Open)
	case Unknown:
		ns.status, ns.open, ns.lastErr = unknown, false, r.Reason
		m.turnBack(n.name, r.Reason, r.Open)
	case Branched:
		ns.decided, ns.yes = true, r.Taken
		return m.fold(n) // a branch not taken may have been all that its group still lacked
	case Opened:
		return m.applyOpened(r, n)
	case Armed:
		ns.due, ns.status = r.Due, armed
		if r.Undo {
			ns.status = undoArmed
		}
		delete(m.late, n.signal)
	case Signalled:
		if r.Dedupe != "" {
			note(&m.seen, r.Name+"\x00"+r.Dedupe)
		}
		m.signals = append(m.signals, pendingSignal{r.Name, r.Payload})
	case Expired:
		ns.status = expired
		note(&m.late, n.signal)
		if len(n.children) == 0 {
			ns.status = rejected
			m.turnBack(n.name, r.Reason, r.Open)
		}
	case Cancelled:
		m.applyCancel(r)
	case Parked:
		m.parked, m.parkedAt, m.parkReason = true, r.Node, r.Reason
	case Resumed:
		m.parked = false
		m.resume()
	case Terminated:
		m.cause, m.actor = r.Reason, r.Actor
		m.mayHaveRun(r.Open)
	case Ended:
	default:
		return m.applyVerb(r, n, ns)
	}
	return nil
}

func (m *machine) applyDone(r Record, n *node, ns *nodeState) error {
	ns.open = false
	if m.parked && m.parkedAt == n.name {
		m.parked = false // what it was stuck at has come after all
	}
	if r.Undo {
		ns.status = undone
		return nil
	}
	if n.kind == kindAwait {
		ns.result = []byte(r.Payload)
		m.takeSignal(n.signal)
	} else if n.decode != nil {
		result, err := r.value, error(nil)
		if result == nil {
			result, err = n.decode(r.Payload)
		}
		if err != nil {
			return fmt.Errorf("saga: %s: result of step %q does not decode: %w", m.id, n.name, err)
		}
		ns.result = result
	}
	ns.status, ns.known = done, true
	return m.fold(n)
}

func (m *machine) applyFailed(r Record, n *node, ns *nodeState) {
	ns.due, ns.lastErr = r.Due, r.Reason
	if r.Undo {
		ns.status, ns.undoFailed = undoRetrying, r.Attempt
		return
	}
	ns.status, ns.failed = retrying, r.Attempt
	if m.dir == backward && (n.class != pivot || n.kind == kindTx) {
		m.settle(n, ns)
	}
}

// turnBack starts the compensation. Steps that may have been attempted stay open until their outcome is recorded.
func (m *machine) turnBack(step, reason string, open []string) {
	if m.dir == backward {
		return
	}
	m.dir, m.causeStep, m.cause = backward, step, reason
	m.mayHaveRun(open)
	for _, n := range m.all {
		m.settle(n, &m.nodes[n.id])
	}
}

func (m *machine) mayHaveRun(open []string) {
	for _, name := range open {
		if n := m.node(name); n != nil {
			m.nodes[n.id].open = true
		}
	}
}

// settle decides what a node that was under way is worth once the saga has turned back.
func (m *machine) settle(n *node, ns *nodeState) {
	switch {
	case ns.open:
	case ns.status == retrying && n.kind == kindTx:
		ns.status = rejected // its attempts rolled back
	case ns.status == retrying, ns.status == armed && n.kind == kindRemote:
		ns.status = unknown
	case ns.status == armed:
		ns.status = skipped
	}
}

func (m *machine) applyCancel(r Record) {
	if m.dir == backward || m.pivotDone() {
		return
	}
	m.actor = r.Actor
	if m.openPivot(r.Open) != nil {
		return // the pivot decides: done, the saga only goes forward; rejected, it compensates anyway
	}
	m.turnBack("", "cancelled by "+r.Actor+": "+r.Reason, r.Open)
	m.parked = false // what it was stuck at is not asked for any more
}

func (m *machine) pivotDone() bool {
	for _, n := range m.all {
		if n.class == pivot && (m.nodes[n.id].status == done || m.nodes[n.id].status == passedOver) {
			return true
		}
	}
	return false
}

// openPivot returns the pivot whose effect may already have happened.
func (m *machine) openPivot(open []string) *node {
	for _, n := range m.all {
		if n.class != pivot {
			continue
		}
		if m.nodes[n.id].status == retrying && n.kind != kindTx || slices.Contains(open, n.name) {
			return n
		}
	}
	return nil
}

// resume gives every failing step a fresh budget and lets it try at once. Deadlines and sleeps stay as they are.
func (m *machine) resume() {
	for i := range m.nodes {
		ns := &m.nodes[i]
		ns.forgiven, ns.undoForgiven = ns.failed, ns.undoFailed
		if ns.status == retrying || ns.status == undoRetrying {
			ns.due = time.Time{}
		}
	}
}
