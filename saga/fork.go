package saga

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Fork begins a new saga whose journal is that of another one up to a step, which then is the first to run. The steps before
// it are not repeated; the fork takes them back, should it come to that, under the keys under which they ran. Everything
// from the step on runs under keys of the fork.
//
// It is refused with a [*ForkError] when two sagas would answer for one effect, or one effect would happen twice: while the
// source runs (terminate it first), when something before the step was taken back, when a step from there on may have had an
// effect that stands, and when another fork took the effects over. Forking again under the same ID from the same place
// returns nil, and any other use of a taken ID an error that matches [ErrConflict]. Signals that came after the prefix are not
// carried over. A fork of a saga that was started into a queue waits in it anew.
func (e *Engine) Fork(ctx context.Context, source, id ID, step string, by By) error {
	if by.Actor == "" || by.Reason == "" {
		return fmt.Errorf("saga: fork of %q: who asks for it, and why, must be said", source)
	}
	if err := id.check(); err != nil {
		return fmt.Errorf("saga: fork: %w", err)
	}
	ref, err := e.store.Lookup(ctx, source)
	if err != nil {
		return fmt.Errorf("saga: fork of %q: %w", source, err)
	}
	h, err := e.journal.Load(ctx, []UID{ref.UID})
	if err != nil || len(h) == 0 {
		return fmt.Errorf("saga: fork of %q: %w", source, errors.Join(err, ErrNotFound))
	}
	m, err := e.replay(h[0])
	if err != nil {
		return fmt.Errorf("saga: fork of %q: %w", source, err)
	}
	records, owns, err := m.prefix(h[0], step)
	if err != nil {
		return err
	}
	facts, err := e.store.Facts(ctx, ref.UID)
	if err != nil {
		return fmt.Errorf("saga: fork of %q: %w", source, err)
	}
	last := records[len(records)-1]
	records = append(records, Record{
		Seq: last.Seq + 1, Kind: Forked, At: time.Now(), Node: step, Name: string(source), Actor: by.Actor, Reason: by.Reason,
		Meta: map[string]string{"uid": ref.UID.String()},
	})
	sum := sha256.Sum256([]byte("fork\x00" + ref.UID.String() + "\x00" + step))
	write := Write{
		Ref: Ref{UID: UID(uuidv7.New()), ID: id, Kind: ref.Kind, InputHash: hex.EncodeToString(sum[:16])}, New: true, Records: records,
		Attributes: facts.Attributes, From: &ForkedFrom{ref.UID, owns},
	}
	if m.queue != "" { // the limits hold for forks, too
		write.Ticket, write.Sleep = &Ticket{Queue: m.queue, Key: records[0].Dedupe}, untilAdmitted
	}
	if err := e.Register(ctx); err != nil {
		return fmt.Errorf("saga: fork of %q: %w", source, err)
	}
	err = e.store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error { return e.journal.Create(ctx, tx, write) })
	if errors.Is(err, ErrConflict) {
		if there, lookup := e.store.Lookup(ctx, id); lookup == nil && there.InputHash == write.Ref.InputHash {
			return nil
		}
	}
	if errors.Is(err, ErrForked) {
		return &ForkError{source, step, []string{"its effects were taken over by an earlier fork; fork that one"}, ErrForked}
	}
	if err != nil {
		return fmt.Errorf("saga: fork of %q as %q: %w", source, id, err)
	}
	e.announce(0)
	e.queued(write)
	return nil
}

// ForkError says why a fork would be unsafe, or makes no sense. It matches [ErrUnknownStep], [ErrForked] or [ErrNotApplicable].
type ForkError struct {
	Source  ID
	Step    string
	Reasons []string

	cause error
}

// Error names every reason.
func (e *ForkError) Error() string {
	return fmt.Sprintf("saga: fork of %s from step %q is refused: %s", e.Source, e.Step, strings.Join(e.Reasons, "; "))
}

// Unwrap gives the sentinel.
func (e *ForkError) Unwrap() error { return e.cause }

// prefix returns the records before the step, and whether they hold effects that somebody must answer for.
func (m *machine) prefix(h History, step string) (records []Record, owns bool, err error) {
	refuse := func(cause error, reasons ...string) ([]Record, bool, error) {
		return nil, false, &ForkError{m.id, step, reasons, cause}
	}
	n := m.node(step)
	switch {
	case n == nil:
		return refuse(ErrUnknownStep, fmt.Sprintf("%s has no such step", m.def.kind()))
	case outermostGroup(n.parent) != nil:
		return refuse(ErrNotApplicable, "it is inside of a group that runs side by side; fork from the group")
	case m.outcome == outcomeNone:
		return refuse(ErrNotApplicable, "the saga has not ended, and two sagas cannot answer for one effect; terminate it first")
	}
	past := newMachine(m.def, m.id)
	for _, r := range h.Records {
		if err := past.apply(r); err != nil {
			return nil, false, err
		}
		records = append(records, r)
		if past.comesTo(n) {
			reasons, owns := m.unsafe(past)
			if len(reasons) > 0 {
				return refuse(ErrNotApplicable, reasons...)
			}
			return records, owns, nil
		}
	}
	return refuse(ErrNotApplicable, "the saga never came to it")
}

// comesTo reports whether the node, or something in it, is what comes next.
func (m *machine) comesTo(n *node) bool {
	if m.dir == backward || m.outcome != outcomeNone {
		return false
	}
	var cmds []Command
	m.forward(m.def.root, &cmds)
	return slices.ContainsFunc(cmds, func(c Command) bool { return contains(n, c.node) })
}

// unsafe says why a fork at the given point of the saga's past would harm, and whether it has something to take back.
func (m *machine) unsafe(past *machine) (reasons []string, owns bool) {
	for _, n := range m.all {
		if !n.kind.isAction() {
			continue
		}
		then, now := &m.nodes[n.id], &m.nodes[n.id]
		if n.id < len(past.nodes) {
			then = &past.nodes[n.id]
		}
		switch before := then.known; {
		case before && n.undo == nil:
		case before && now.status != done:
			reasons = append(reasons, fmt.Sprintf("%q, which comes before, is %s in the source", n.name, now.status))
		case before && n.kind == kindRemote:
			reasons = append(reasons, fmt.Sprintf("%q is carried out by another service, whose answer to its undo would go to the source", n.name))
		case before:
			owns = true
		case n.publishes || now.status == undone:
		case now.known, now.status == unknown, now.status == undoSkipped, now.failed > 0 && n.kind != kindTx, now.open:
			reasons = append(reasons, fmt.Sprintf("%q has run in the source, or may have, was not taken back, and would run again", n.name))
		}
	}
	return reasons, owns
}

// applyForked makes the machine the fork's own: what was done so far keeps the keys of the saga that did it.
func (m *machine) applyForked(r Record) {
	m.started, m.queued = r.At, m.queue != ""
	source, err := parseUID(r.Meta["uid"])
	if err != nil {
		return
	}
	for i := range m.nodes {
		if ns := &m.nodes[i]; ns.known && ns.origin == nil {
			ns.origin = &source
		}
	}
}

func parseUID(s string) (UID, error) {
	id, err := uuidv7.Parse(s)
	return UID(id), err
}

// keyOf is the key of a step's attempts. A fork undoes a step under the name of the saga that carried it out, and a step that
// succeeded after its undo had begun is undone under a new key, which no callee takes for a repetition.
func (m *machine) keyOf(uid UID, n *node, undo bool) attemptKey {
	ns := &m.nodes[n.id]
	if ns.origin != nil {
		uid = *ns.origin
	}
	key := attemptKey{uid: uid, undo: undo}
	if undo {
		key.late = ns.late
	}
	return key
}
