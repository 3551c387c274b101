package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// SendOption varies how a signal is sent.
type SendOption interface{ apply(*Mail) }

type sendOption func(*Mail)

func (f sendOption) apply(m *Mail) { f(m) }

// DedupeKey marks a signal so that sending it again under the same key has no effect.
func DedupeKey(key string) SendOption { return sendOption(func(m *Mail) { m.Dedupe = key }) }

// Send sends the signal to the saga with the given ID. When it returns nil the signal is durable and the saga will look at it:
// it is kept while an await for it waits or is still to come. It is refused, which only [Hooks.Refused] tells, when no
// await for it can come any more, when the saga is being taken back, and from the deadline of one await until the next for
// the same signal begins. Errors match [ErrNotFound], [ErrFinished] or [ErrTooLarge].
func (s *Signal[D]) Send(ctx context.Context, e *Engine, id ID, payload D, opts ...SendOption) error {
	raw, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("saga: signal %q: payload of type %T does not encode as JSON: %w", s.name, payload, err)
	}
	if len(raw) > e.cfg.MaxPayload {
		return fmt.Errorf("saga: signal %q: %w: %d bytes, limit %d", s.name, ErrTooLarge, len(raw), e.cfg.MaxPayload)
	}
	m := Mail{Kind: MailSignal, Name: s.name, Payload: raw, sensitive: s.sensitive}
	for _, o := range opts {
		o.apply(&m)
	}
	return e.post(ctx, id, m)
}

// Reply is the answer to a command that a [Remote] step sent.
type Reply struct {
	Key      string          // of the Ctx that sent the command
	Rejected bool            // the participant refused; Reason says why
	Reason   string          //
	Result   json.RawMessage // JSON of the step's result
}

// Reply hands the outcome of a remote step to its saga. When it returns nil the reply is durable, or it is a repetition, or
// the saga has ended and needs it no more. It may run in the transaction of an inbox: pass its tx as q, or nil.
func (e *Engine) Reply(ctx context.Context, q data.Querier, r Reply) error {
	uid, err := uidOfKey(r.Key)
	if err != nil {
		return err
	}
	own := q == nil
	if own {
		q = e.store.DB()
	}
	err = e.journal.Post(ctx, q, Mail{
		Saga: uid, Kind: MailReply, Name: r.Key, Dedupe: "reply", Payload: r.Result, Rejected: r.Rejected, Reason: r.Reason,
		sensitive: e.sensitiveReply(r.Key),
	})
	if errors.Is(err, ErrFinished) {
		return nil
	}
	switch {
	case err != nil:
	case own:
		e.announce(0)
	default:
		e.announceSoon()
	}
	return err
}

// Cancel asks for compensation, also of a parked saga. It returns when the request is durable; one that meets the end of the
// saga is moot. The error matches [ErrPastPivot] when the saga only goes forward, [ErrFinished] when it has ended; a saga
// whose pivot is under way decides for itself.
func (e *Engine) Cancel(ctx context.Context, id ID, actor, reason string) error {
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return fmt.Errorf("saga: cancel %q: %w", id, err)
	}
	m, err := e.read(ctx, ref.UID)
	if err != nil {
		return fmt.Errorf("saga: cancel %q: %w", id, err)
	}
	switch {
	case m.outcome != outcomeNone:
		return fmt.Errorf("saga: cancel %q: %w as %s", id, ErrFinished, m.outcome)
	case m.dir == forward && m.pivotDone():
		return fmt.Errorf("saga: cancel %q: %w", id, ErrPastPivot)
	}
	return e.post(ctx, id, Mail{Kind: MailCancel, Dedupe: "cancel", Actor: actor, Reason: reason})
}

// Retry gives a parked saga a fresh budget and lets it try again.
func (e *Engine) Retry(ctx context.Context, id ID, actor, reason string) error {
	return e.post(ctx, id, Mail{Kind: MailRetry, Actor: actor, Reason: reason})
}

// Terminate stops a saga where it stands, without compensation. Only an operator who has mended everything by hand wants it.
func (e *Engine) Terminate(ctx context.Context, id ID, actor, reason string) error {
	return e.post(ctx, id, Mail{Kind: MailTerminate, Actor: actor, Reason: reason})
}

func (e *Engine) post(ctx context.Context, id ID, m Mail) error {
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return fmt.Errorf("saga: %s to %q: %w", m.Kind, id, err)
	}
	m.Saga = ref.UID
	if def := e.defs[ref.Kind]; m.Kind == MailVerb && def != nil {
		m.sensitive = def.guarded // it may supply a result
	}
	if err := e.journal.Post(ctx, e.store.DB(), m); err != nil {
		return fmt.Errorf("saga: %s to %q: %w", m.Kind, id, err)
	}
	e.announce(ref.Lane)
	return nil
}

// State is what a saga is doing.
type State string

// The states of a saga that has not ended; an ended one has its [Outcome] as its state.
const (
	StateRunning      State = "running"
	StateQueued       State = "queued" // waits until its queue admits it; searches know it as waiting
	StateCompensating State = "compensating"
	StateParked       State = "parked"
	StatePaused       State = "paused"
	// StateWaiting is that of a saga that sleeps until a signal, a time, or its next attempt; only searches tell it from running.
	StateWaiting State = "waiting"
	// StateLive and StateEnded are for a [Filter]: any state of a saga that has not ended, or that has.
	StateLive  State = "live"
	StateEnded State = "ended"
	// StateUnreadable is that of a saga whose journal this program cannot read; see [ErrUnreadable].
	StateUnreadable State = "unreadable"
)

// Status describes a saga, read from its journal.
type Status struct {
	ID      ID     `json:"id"`
	Saga    string `json:"saga"`
	Version int    `json:"version"`
	State   State  `json:"state"`
	Step    string `json:"step,omitempty"`   // that failed, or where it is parked
	Reason  string `json:"reason,omitempty"` // why it turned back or parked
	Queue   string `json:"queue,omitempty"`  // in which it was started
	// Progress is the weighted share of the saga that is done, from 0 to 1. What is taken back no longer counts. The two ways of
	// a condition weigh the same, and so does each of an each's items, so that it never falls while the saga goes forward.
	Progress float64      `json:"progress"`
	Started  time.Time    `json:"started"`
	Ended    time.Time    `json:"ended,omitzero"`
	Steps    []StepStatus `json:"steps"`
}

// StepStatus describes one step of a saga, in the order of the definition. Steps in an [Each] are listed once per item as
// soon as it got its items, before as they stand in the definition.
type StepStatus struct {
	Name     string    `json:"name"`         // "ship[3]/book" in the item with index 3 of the each "ship"
	Of       string    `json:"of,omitempty"` // the same step in the definition, "ship[]/book", if that is another name
	Kind     string    `json:"kind"`
	Status   string    `json:"status"` // pending, retrying, waiting, done, rejected, unknown, skipped, undo-retrying, undo-waiting, undone
	Failed   int       `json:"failed_attempts,omitempty"`
	At       time.Time `json:"at,omitzero"` // of its newest record
	Error    string    `json:"error,omitempty"`
	Undoable bool      `json:"undoable"`
}

// Status reads what a saga is doing. The error matches [ErrNotFound], or [ErrUnreadable] and then says why and what to do;
// beside the latter the status has no steps.
func (e *Engine) Status(ctx context.Context, id ID) (Status, error) {
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return Status{}, fmt.Errorf("saga: status of %q: %w", id, err)
	}
	m, err := e.read(ctx, ref.UID)
	if err != nil {
		return unreadable(ref, err), fmt.Errorf("saga: status of %q: %w", id, err)
	}
	return m.describe(), nil
}

// unreadable describes a saga of which no more is known than its error; nothing for another error.
func unreadable(ref Ref, err error) Status {
	if !errors.Is(err, ErrUnreadable) {
		return Status{}
	}
	s := Status{ID: ref.ID, State: StateUnreadable, Reason: err.Error()}
	name, version, _ := strings.Cut(ref.Kind, "@")
	s.Saga = name
	s.Version, _ = strconv.Atoi(version) // kinds are made of both
	return s
}

// List describes sagas that have not ended, newest first, at most limit of them. One whose journal cannot be read is among
// them as [StateUnreadable], with the reason.
func (e *Engine) List(ctx context.Context, limit int) ([]Status, error) {
	refs, err := e.store.List(ctx, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(refs))
	for _, r := range refs {
		m, err := e.read(ctx, r.UID)
		if errors.Is(err, ErrNotRegistered) || errors.Is(err, ErrNotFound) {
			continue
		}
		switch {
		case errors.Is(err, ErrUnreadable):
			out = append(out, unreadable(r, err))
		case err != nil:
			return nil, err
		default:
			out = append(out, m.describe())
		}
	}
	return out, nil
}

// History returns a saga's journal, with "[sensitive]" for the payloads of what is sensitive. The error matches [ErrNotFound],
// or [ErrUnreadable] beside the records before the damage.
func (e *Engine) History(ctx context.Context, id ID) ([]Record, error) {
	return e.history(ctx, id, e.journal.redact)
}

// Reveal is [Engine.History] with the sensitive payloads too. Whoever calls it answers for the permission, and for a line in
// an audit log. A payload whose key is gone ends the history with an error that matches [ErrUnreadable].
func (e *Engine) Reveal(ctx context.Context, id ID) ([]Record, error) {
	return e.history(ctx, id, e.journal.open)
}

func (e *Engine) history(ctx context.Context, id ID, open func(*History)) ([]Record, error) {
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("saga: history of %q: %w", id, err)
	}
	h, err := e.store.Load(ctx, []UID{ref.UID})
	switch {
	case err != nil:
		return nil, fmt.Errorf("saga: history of %q: %w", id, err)
	case len(h) == 0:
		return nil, fmt.Errorf("saga: history of %q: %w", id, ErrNotFound)
	}
	if open(&h[0]); h[0].Err != nil {
		return h[0].Records, fmt.Errorf("saga: history of %q: %w: %w", id, ErrUnreadable, h[0].Err)
	}
	return h[0].Records, nil
}

func (m *machine) describe() Status {
	s := Status{
		ID: m.id, Saga: m.def.name, Version: m.def.version, State: StateRunning, Step: m.causeStep, Reason: m.cause,
		Started: m.started, Ended: m.ended, Queue: m.queue,
	}
	switch {
	case m.outcome != outcomeNone:
		s.State = State(m.outcome)
	case m.parked:
		s.State, s.Step, s.Reason = StateParked, m.parkedAt, m.parkReason
	case m.paused:
		s.State = StatePaused
	case m.dir == backward:
		s.State = StateCompensating
	case m.queued:
		s.State = StateQueued
	}
	s.Steps = m.steps(nil, m.def.root.children)
	s.Progress = m.progress()
	return s
}

func (m *machine) steps(out []StepStatus, list []*node) []StepStatus {
	for _, n := range list {
		ns := &m.nodes[n.id]
		if n.kind >= kindAwait {
			step := StepStatus{
				Name: n.name, Kind: n.kind.String(), Status: ns.status.String(), Failed: ns.failed + ns.undoFailed, At: ns.at, Error: ns.lastErr,
				Undoable: n.undo != nil,
			}
			if n.template != nil {
				step.Of = n.template.name
			}
			out = append(out, step)
		}
		children := n.children
		if n.kind == kindEach && ns.scope != nil {
			children = ns.scope.items
		}
		out = m.steps(m.steps(out, children), n.otherwise)
	}
	return out
}

func uidOfKey(key string) (UID, error) {
	head, _, ok := strings.Cut(key, "/")
	id, err := uuidv7.Parse(head)
	if !ok || err != nil {
		return UID{}, fmt.Errorf("saga: reply: %.100q is no key of a saga's step", key)
	}
	return UID(id), nil
}
