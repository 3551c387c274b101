package sagatest

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

// Participant plays a service that steps call: it keeps a ledger of the effects it has had, by key, as a well-behaved service does. Use it
// inside the fakes of your ports; it needs the context of the step. Then effects that happen twice, come late, stay behind, or are taken back in
// the wrong order are seen without bookkeeping of yours. It is safe for concurrent use.
type Participant struct {
	name string
	r    *run
}

// who is behind a call.
type caller struct {
	step    string
	undo    bool
	attempt int
	key     string
	node    *front // the process that calls; nil: none that can die
	remote  bool   // it is a command that came over a topic
}

type callerKey struct{}

func callerOf(ctx context.Context) (caller, bool) {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c, true
	}
	if c, ok := ctx.(saga.Ctx); ok {
		return caller{step: c.Step(), undo: c.Direction() == saga.Undo, attempt: c.Attempt(), key: c.Key(), remote: true}, true
	}
	return caller{}, false
}

// Do has the effect of the step that calls, once per key; a call with no key always has its effect. When the step was taken back before,
// it is refused with an error made by [saga.Reject].
func (p *Participant) Do(ctx context.Context, key string) error { return p.call(ctx, key, "", false) }

// Undo takes back the effect of the step that calls, once per key. When there was no effect it succeeds, and lets none come later.
func (p *Participant) Undo(ctx context.Context, key string) error { return p.call(ctx, key, "", true) }

// UndoOf is [Participant.Undo] for the effect of another step.
func (p *Participant) UndoOf(ctx context.Context, key, step string) error {
	return p.call(ctx, key, step, true)
}

// Holds reports whether the effect of a step stands: it happened and was not taken back.
func (p *Participant) Holds(step string) bool {
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	s := p.r.ledger[p.name+"/"+step]
	return s != nil && s.done > s.undone
}

// stand is what a participant knows about one step.
type stand struct {
	done, undone int
	closed       bool // taken back, or told that it is
}

func (p *Participant) call(ctx context.Context, key, step string, undo bool) error {
	c, ok := callerOf(ctx)
	if !ok {
		return fmt.Errorf("sagatest: participant %q: the context is not that of a step; pass the saga.Ctx on", p.name)
	}
	if c.node != nil && c.node.dead.Load() {
		<-ctx.Done() // a dead process calls nobody
		return context.Cause(ctx)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.remote {
		if err := p.r.remoteFault(c); err != nil {
			return err
		}
	}
	if step == "" {
		step = c.step
	}
	if err := p.r.effect(p.name, step, key, undo, c); err != nil {
		return err
	}
	return p.r.watchInvariants()
}

// effect notes what happens at a participant.
func (r *run) effect(participant, step, key string, undo bool, c caller) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key == "" {
		r.unkeyed++
		key = fmt.Sprintf("no key, call %d", r.unkeyed)
	}
	s := r.ledger[participant+"/"+step]
	if s == nil {
		s = &stand{}
		r.ledger[participant+"/"+step] = s
	}
	what, err := Applied, error(nil)
	switch id := participant + "\x00" + key; {
	case r.keys[id]:
		what = Duplicate
	case undo:
		r.keys[id] = true
		if s.done == 0 {
			what = Duplicate // there is nothing to take back, and never will be
		} else {
			s.undone++
		}
		s.closed = true
	case s.closed:
		what, err = Refused, saga.Reject("%s was taken back before", step)
	default:
		r.keys[id] = true
		s.done++
	}
	e := Effect{
		Seq: int64(len(r.effects) + 1), Saga: sagaID, Step: step, Undo: undo, Key: key, Attempt: c.attempt, Effect: what, Participant: participant,
		At: r.stampLocked(),
	}
	r.effects = append(r.effects, e)
	r.noteLocked("      %s %s: %s under key %s", participant, verb(undo, step), what, short(key))
	if what == Applied {
		r.changed = true
	}
	return err
}

func verb(undo bool, step string) string {
	if undo {
		return "undo " + step
	}
	return "do " + step
}

var errInjected = errors.New("sagatest: no connection (injected)")
