package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Dossier is everything that is known about one saga.
type Dossier struct {
	Status

	Attributes map[string]string `json:"attributes,omitempty"`
	WakesAt    time.Time         `json:"wakes_at,omitzero"` // when a sleeping saga wakes by itself
	ForkOf     ID                `json:"fork_of,omitempty"`
	Forks      []ID              `json:"forks,omitempty"`
	Timers     []StepTimer       `json:"timers,omitempty"`
	Mail       []Waiting         `json:"mail,omitempty"` // not taken in yet
	Journal    []Record          `json:"-"`
	Mermaid    string            `json:"mermaid,omitempty"` // the picture of the run; see [Def.SVGOf] for the other
}

// StepTimer is what a step waits for.
type StepTimer struct {
	Step string    `json:"step"`
	Kind string    `json:"kind"` // retry, deadline, reply, sleep
	Undo bool      `json:"undo,omitempty"`
	Due  time.Time `json:"due"`
}

// Waiting is mail that nobody took in yet.
type Waiting struct {
	Kind   string    `json:"kind"`
	Name   string    `json:"name,omitempty"` // of a signal or a reply; of a verb what it asks for
	Actor  string    `json:"actor,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Show reads everything about a saga. A saga that cannot be read has [StateUnreadable], says why, and shows the journal up to
// the damage. The error matches [ErrNotFound].
func (e *Engine) Show(ctx context.Context, id ID) (Dossier, error) {
	fail := func(err error) (Dossier, error) { return Dossier{}, fmt.Errorf("saga: show %q: %w", id, err) }
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return fail(err)
	}
	h, err := e.store.Load(ctx, []UID{ref.UID})
	if err != nil {
		return fail(err)
	}
	if len(h) == 0 {
		return fail(ErrNotFound)
	}
	facts, err := e.store.Facts(ctx, ref.UID)
	if err != nil {
		return fail(err)
	}
	shown := h[0]
	shown.Records = slices.Clone(shown.Records)
	e.journal.redact(&shown)
	e.journal.open(&h[0])
	unsealMail(e.cfg.Codec, facts.Mail)
	s := facts.summary()
	d := Dossier{Attributes: s.Attributes, WakesAt: s.WakesAt, ForkOf: facts.From, Forks: facts.Forks, Journal: shown.Records}
	for _, m := range facts.Mail {
		w := Waiting{Kind: string(m.Kind), Name: m.Name, Actor: m.Actor, Reason: m.Reason, At: m.At}
		if v, err := verbOf(m); m.Kind == MailVerb && err == nil {
			w.Name = v.String()
		}
		d.Mail = append(d.Mail, w)
	}
	m, err := e.replay(h[0])
	switch {
	case errors.Is(err, ErrUnreadable):
		d.Status = unreadable(ref, err)
		return d, nil
	case err != nil:
		return fail(err)
	}
	d.Status, d.Timers = m.describe(), m.timers()
	d.Mermaid = m.def.MermaidOf(d.Status)
	return d, nil
}

func (m *machine) timers() []StepTimer {
	if m.outcome != outcomeNone {
		return nil
	}
	var out []StepTimer
	for _, n := range m.all {
		ns := &m.nodes[n.id]
		t := StepTimer{Step: n.name, Due: ns.due}
		switch ns.status {
		case retrying:
			t.Kind = "retry"
		case undoRetrying:
			t.Kind, t.Undo = "retry", true
		case undoArmed:
			t.Kind, t.Undo = "reply", true
		case armed:
			switch n.kind {
			case kindAwait:
				t.Kind = "deadline"
			case kindSleep:
				t.Kind = "sleep"
			default:
				t.Kind = "reply"
			}
		default:
			continue
		}
		if !t.Due.IsZero() {
			out = append(out, t)
		}
	}
	return out
}
