package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// VerbName says what an operator asks for.
type VerbName string

// The verbs of [Engine.Intervene].
const (
	// VerbCancel turns the saga back. Behind its pivot it only goes forward; while the pivot's outcome is open the pivot decides.
	VerbCancel VerbName = "cancel"
	// VerbTerminate stops the saga where it stands, without compensation; also one whose journal cannot be read.
	VerbTerminate VerbName = "terminate"
	// VerbPause begins no more attempts, in either direction. Attempts under way end and count. Timers go on: what falls due
	// meanwhile takes effect when the saga is resumed, where a signal that came in time wins over its deadline.
	VerbPause VerbName = "pause"
	// VerbResume ends a pause.
	VerbResume VerbName = "resume"
	// VerbRetry gives failing steps a fresh budget and has them try at once, whether the saga is parked or waits for its next try.
	VerbRetry VerbName = "retry"
	// VerbSkip passes a step over: it counts as done, without a result, and is not compensated. A skipped pivot is passed, so the
	// saga only goes forward. Of an undo: the step stays as it is and is not taken back. A wait that is skipped is over.
	VerbSkip VerbName = "skip"
	// VerbResolve states a step's result, as if it were its own; it is compensated like one. Of an await the result is the signal's
	// payload; of an undo there is none. While a saga is taken back it tells an undo the result that was not known.
	VerbResolve VerbName = "resolve"
	// VerbReject states that a step had no effect, now or later, so that the saga turns back: for a parked pivot, say.
	VerbReject VerbName = "reject"
)

// Verb is what an operator asks of a saga.
type Verb struct {
	Do     VerbName        `json:"do"`
	Step   string          `json:"step,omitempty"`   // of skip, resolve and reject
	Undo   bool            `json:"undo,omitempty"`   // of skip and resolve: the step's compensation is meant
	Result json.RawMessage `json:"result,omitempty"` // of resolve: JSON of the step's result, without unknown fields
}

// String names the verb and its step.
func (v Verb) String() string {
	switch {
	case v.Step == "":
		return string(v.Do)
	case v.Undo:
		return fmt.Sprintf("%s the undo of %q", v.Do, v.Step)
	}
	return fmt.Sprintf("%s %q", v.Do, v.Step)
}

func (v Verb) ofStep() bool { return v.Do == VerbSkip || v.Do == VerbResolve || v.Do == VerbReject }

// VerbError says why a verb was not applied. It matches [ErrFinished], [ErrPastPivot], [ErrUnknownStep] or [ErrNotApplicable].
type VerbError struct {
	ID   ID
	Verb Verb
	Why  string

	cause error
}

// Error says what was refused and why.
func (e *VerbError) Error() string {
	return fmt.Sprintf("saga: %s of %s is refused: %s", e.Verb, e.ID, e.Why)
}

// Unwrap gives the sentinel.
func (e *VerbError) Unwrap() error { return e.cause }

// refusals are the sentinels of a VerbError as the journal keeps them.
func refusals() map[string]error {
	return map[string]error{"finished": ErrFinished, "past-pivot": ErrPastPivot, "no-step": ErrUnknownStep, "not-applicable": ErrNotApplicable}
}

func codeOf(err error) string {
	for code, is := range refusals() {
		if errors.Is(err, is) {
			return code
		}
	}
	return ""
}

// admit says why a verb cannot be applied now, nil when it can. It changes nothing.
func (m *machine) admit(v Verb) error {
	no := func(cause error, format string, args ...any) error {
		return &VerbError{ID: m.id, Verb: v, Why: fmt.Sprintf(format, args...), cause: cause}
	}
	if m.outcome != outcomeNone {
		return no(ErrFinished, "it has ended as %s", m.outcome)
	}
	switch v.Do {
	case VerbTerminate:
		return nil
	case VerbCancel:
		if m.dir == forward && m.pivotDone() {
			return no(ErrPastPivot, "it is past its point of no return")
		}
	case VerbPause:
		if m.paused {
			return no(ErrNotApplicable, "it is paused already")
		}
	case VerbResume:
		if !m.paused {
			return no(ErrNotApplicable, "it is not paused")
		}
	case VerbRetry:
		if !m.parked && !slices.ContainsFunc(m.nodes, func(ns nodeState) bool { return ns.status == retrying || ns.status == undoRetrying }) {
			return no(ErrNotApplicable, "nothing of it has failed")
		}
	case VerbSkip, VerbResolve, VerbReject:
		n := m.node(v.Step)
		switch {
		case n == nil:
			return no(ErrUnknownStep, "%s has no such step", m.def.kind())
		case !n.kind.isAction() && n.kind != kindAwait && n.kind != kindSleep:
			return no(ErrNotApplicable, "it is a group; name a step in it")
		case !m.mayCome(n):
			return no(ErrNotApplicable, "it is on a path that the saga did not take")
		}
		var why string
		if v.Undo {
			why = m.admitUndo(n, v)
		} else {
			why = m.admitStep(n, v)
		}
		switch {
		case why != "":
			return no(ErrNotApplicable, "%s", why)
		case v.Do == VerbReject && m.pivotDone():
			return no(ErrPastPivot, "the saga is past its point of no return and cannot turn back; skip the step, or resolve it")
		}
	default:
		return no(ErrNotApplicable, "there is no such verb")
	}
	return nil
}

func (m *machine) admitStep(n *node, v Verb) string {
	ns := &m.nodes[n.id]
	if m.dir == backward {
		if v.Do != VerbResolve || ns.known || n.undo == nil || ns.status != unknown && ns.status != undoRetrying {
			return fmt.Sprintf("the saga is being taken back, and the step is %s; its undo can be skipped or resolved", ns.status)
		}
		return m.checkResult(n, v.Result)
	}
	switch ns.status {
	case pending, retrying, armed:
	default:
		return fmt.Sprintf("the step is %s", ns.status)
	}
	if v.Do == VerbSkip {
		return ""
	}
	var cmds []Command
	m.forward(m.def.root, &cmds)
	if !slices.ContainsFunc(cmds, func(c Command) bool { return c.node == n }) {
		return "the saga has not come to the step yet"
	}
	if n.kind == kindSleep {
		return "a sleep has no outcome; skip it"
	}
	if v.Do == VerbReject {
		return ""
	}
	return m.checkResult(n, v.Result)
}

func (m *machine) admitUndo(n *node, v Verb) string {
	ns := &m.nodes[n.id]
	switch {
	case v.Do == VerbReject:
		return "an undo cannot be rejected; skip it, or resolve it"
	case n.undo == nil:
		return "the step has no undo"
	case m.dir == forward:
		return "the saga is not being taken back"
	case ns.open:
		return "the step may still be under way; ask again when its outcome is recorded"
	case ns.status != done && ns.status != unknown && ns.status != undoRetrying && ns.status != undoArmed:
		return fmt.Sprintf("the step is %s, so nothing is left to be undone", ns.status)
	case v.Do == VerbResolve && len(v.Result) > 0:
		return "an undo has no result"
	}
	return ""
}

// checkResult says what is wrong with a result that an operator supplies. Unknown fields are refused: they are mistyped.
func (m *machine) checkResult(n *node, raw []byte) (why string) {
	if len(raw) > 0 && !json.Valid(raw) {
		return "the result is no JSON"
	}
	defer func() {
		if p := recover(); p != nil {
			why = fmt.Sprintf("folding the result panicked: %v", p)
		}
	}()
	if n.kind == kindAwait {
		if err := strictly(raw, n.payload); err != nil {
			return fmt.Sprintf("the result is no %s: %v", n.payload, err)
		}
		state, err := m.def.decodeState(m.input)
		if m.outcome == outcomeNone && err == nil {
			state, err = m.stateFor(n)
		}
		if err == nil {
			_, err = n.deliver(state, raw)
		}
		if err != nil {
			return "the await refuses it: " + err.Error()
		}
		return ""
	}
	if n.decode == nil {
		return "the step has no result"
	}
	result, err := n.decode(raw)
	if err != nil {
		return "the result does not decode: " + err.Error()
	}
	if _, none := result.(None); none {
		if len(raw) > 0 && string(raw) != "null" && string(raw) != "{}" {
			return "the step has no result"
		}
		return ""
	}
	if len(raw) == 0 {
		return fmt.Sprintf("the step's result, a %T, is missing", result)
	}
	if err := strictly(raw, reflect.TypeOf(result)); err != nil {
		return fmt.Sprintf("the result is no %T: %v", result, err)
	}
	return ""
}

func strictly(raw []byte, typ reflect.Type) error {
	if typ == nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(reflect.New(typ).Interface())
}

// recordOf is the one record that an admitted verb leaves: what changes, and who wanted it and why.
func (v Verb) recordOf(by By, ticket string) Record {
	r := Record{Node: v.Step, Undo: v.Undo, Actor: by.Actor, Reason: by.Reason, Dedupe: ticket}
	switch v.Do {
	case VerbCancel:
		r.Kind = Cancelled
	case VerbTerminate:
		r.Kind, r.End = Terminated, TerminatedByHand
	case VerbPause:
		r.Kind = Paused
	case VerbResume:
		r.Kind = Continued
	case VerbRetry:
		r.Kind = Resumed
	case VerbSkip:
		r.Kind = Skipped
	case VerbResolve:
		r.Kind, r.Payload = Resolved, v.Result
	case VerbReject:
		r.Kind = Rejected
	}
	return r
}

// refusal is the record of a verb that came too late, or never fitted.
func (m *machine) refusal(v Verb, by By, ticket string, err error) Record {
	var ve *VerbError
	why := err.Error()
	if errors.As(err, &ve) {
		why = ve.Why
	}
	r := Record{
		Kind: Refused, Name: string(v.Do), Undo: v.Undo, Actor: by.Actor, Reason: why, Dedupe: ticket,
		Meta: map[string]string{"code": codeOf(err), "wanted": by.Reason},
	}
	if m.node(v.Step) != nil {
		r.Node = v.Step
	}
	return r
}

// over reports whether a node needs nothing more forward.
func (ns *nodeState) over() bool { return ns.known || ns.status == passedOver }

func ticketKey(ticket string) string { return "\x00\x00" + ticket }

// applyVerb folds in what an operator did.
func (m *machine) applyVerb(r Record, n *node, ns *nodeState) error {
	if n == nil && (r.Kind == Skipped || r.Kind == Resolved || r.Kind == Late) {
		return fmt.Errorf("saga: %s: journal record %d (%s) names no step", m.id, r.Seq, r.Kind)
	}
	switch r.Kind {
	case Paused:
		m.paused = true
	case Continued:
		m.paused = false
	case Skipped:
		m.unpark(n)
		if r.Undo {
			ns.status = undoSkipped
			return nil
		}
		ns.status = passedOver
		return m.fold(n) // it may have been all that its group still lacked
	case Resolved:
		m.unpark(n)
		return m.applyResolved(r, n, ns)
	case Late:
		return m.applyLate(r, n, ns)
	case Forked:
		m.applyForked(r)
	case Refused:
	default:
		return fmt.Errorf("saga: %s: journal record %d is of kind %d, which this version does not know", m.id, r.Seq, r.Kind)
	}
	return nil
}

func (m *machine) applyResolved(r Record, n *node, ns *nodeState) error {
	if r.Undo {
		ns.status = undone
		return nil
	}
	if n.kind == kindAwait {
		ns.result = []byte(r.Payload)
	} else {
		result, err := n.decode(r.Payload)
		if err != nil {
			return fmt.Errorf("saga: %s: result of step %q does not decode: %w", m.id, n.name, err)
		}
		ns.result = result
	}
	ns.known = true
	if m.dir == forward || ns.status == unknown {
		ns.status = done
	}
	return m.fold(n)
}

// applyLate takes the success of an attempt in that was given up: its effect is there, and came perhaps after the undo. So
// the step is undone, again if need be, under a key that no callee takes for a repetition.
func (m *machine) applyLate(r Record, n *node, ns *nodeState) error {
	result, err := n.decode(r.Payload)
	if err != nil {
		return fmt.Errorf("saga: %s: late result of step %q does not decode: %w", m.id, n.name, err)
	}
	ns.result, ns.known = result, true
	if n.undo == nil || ns.status == undoSkipped {
		return nil
	}
	ns.status, ns.undoFailed, ns.undoForgiven, ns.due = done, 0, 0, time.Time{}
	ns.late++
	m.unpark(n)
	return nil
}

// unpark lets a saga go on that was stuck at the step.
func (m *machine) unpark(n *node) {
	if m.parkedAt == n.name {
		m.parked = false
	}
}
