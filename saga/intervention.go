package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// By says who intervenes and why. Both are required and stand in the saga's journal.
type By struct {
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
}

// Intervention is a verb that was sent to a saga. It is safe for concurrent use.
type Intervention struct {
	e      *Engine
	ref    Ref
	verb   Verb
	ticket string
}

// Intervene asks something of a saga on an operator's behalf. What cannot be applied as the saga stands is refused at once
// with a [*VerbError]; otherwise the request is durable when Intervene returns, and whoever owns the saga takes it in: it
// then leaves one record in the journal, of what changed or of why it came too late. [Intervention.Wait] tells which.
// A step whose attempt is under way is interrupted first, and a verb for it counts only if the attempt did not succeed.
// Other errors match [ErrNotFound], or [ErrUnreadable] for anything but VerbTerminate.
func (e *Engine) Intervene(ctx context.Context, id ID, v Verb, by By) (*Intervention, error) {
	return e.intervene(ctx, id, v, by, uuidv7.New().String())
}

func (e *Engine) intervene(ctx context.Context, id ID, v Verb, by By, ticket string) (*Intervention, error) {
	if by.Actor == "" || by.Reason == "" {
		return nil, fmt.Errorf("saga: %s of %q: who asks for it, and why, must be said", v.Do, id)
	}
	if len(v.Result) > e.cfg.MaxPayload {
		return nil, fmt.Errorf("saga: %s of %q: %w: %d bytes, limit %d", v.Do, id, ErrTooLarge, len(v.Result), e.cfg.MaxPayload)
	}
	ref, err := e.store.Lookup(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("saga: %s of %q: %w", v.Do, id, err)
	}
	m, err := e.read(ctx, ref.UID)
	if err != nil && (v.Do != VerbTerminate || !errors.Is(err, ErrUnreadable)) {
		return nil, fmt.Errorf("saga: %s of %q: %w", v.Do, id, err)
	}
	i := &Intervention{e, ref, v, ticket}
	if err == nil {
		if _, asked := m.seen[ticketKey(ticket)]; asked {
			return i, nil
		}
		if err := m.admit(v); err != nil {
			return nil, err
		}
	}
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("saga: %s of %q: the result is no JSON: %w", v.Do, id, err)
	}
	err = e.post(ctx, id, Mail{Kind: MailVerb, Dedupe: ticket, Payload: payload, Actor: by.Actor, Reason: by.Reason})
	if errors.Is(err, ErrFinished) {
		return nil, &VerbError{ID: id, Verb: v, Why: "it has ended", cause: ErrFinished}
	}
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Wait returns nil once the verb was applied. The error is a [*VerbError] when it came too late for that: something else
// happened first, or the saga ended. It matches [ErrPending] and the context's error when the context ends before.
func (i *Intervention) Wait(ctx context.Context) error {
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		settled, err := i.answer(ctx)
		if settled {
			return err
		}
		if err != nil && !data.Retryable(err) && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("saga: %s of %s: %w: %w", i.verb, i.ref.ID, ErrPending, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// answer reads in the journal what became of the verb.
func (i *Intervention) answer(ctx context.Context) (settled bool, err error) {
	h, err := i.e.journal.Load(ctx, []UID{i.ref.UID})
	if err != nil {
		return false, err
	}
	if len(h) == 0 {
		return false, ErrNotFound
	}
	ended := h[0].Last.End
	for _, r := range append(h[0].Records, h[0].Last) {
		switch {
		case r.Dedupe != i.ticket || r.Kind == Signalled:
		case r.Kind == Refused:
			return true, &VerbError{ID: i.ref.ID, Verb: i.verb, Why: r.Reason, cause: refusals()[r.Meta["code"]]}
		case r.Kind == Cancelled:
			return i.cancelled(h[0])
		default:
			return true, nil
		}
	}
	if ended != outcomeNone {
		return true, &VerbError{ID: i.ref.ID, Verb: i.verb, Why: fmt.Sprintf("it has ended as %s", ended), cause: ErrFinished}
	}
	return false, nil
}

// cancelled tells whether the saga turned back; one whose pivot was under way decides later.
func (i *Intervention) cancelled(h History) (settled bool, err error) {
	m, err := i.e.replay(h)
	switch {
	case err != nil:
		return false, err
	case m.dir == backward:
		return true, nil
	case m.pivotDone():
		return true, &VerbError{ID: i.ref.ID, Verb: i.verb, Why: "its point of no return, which was under way, was passed", cause: ErrPastPivot}
	}
	return m.outcome != outcomeNone, nil
}

// verbOf reads what a piece of mail asks for.
func verbOf(m Mail) (Verb, error) {
	switch m.Kind {
	case MailCancel:
		return Verb{Do: VerbCancel}, nil
	case MailRetry:
		return Verb{Do: VerbRetry}, nil
	case MailTerminate:
		return Verb{Do: VerbTerminate}, nil
	}
	var v Verb
	err := json.Unmarshal(m.Payload, &v)
	return v, err
}

func ticketOf(m Mail) string {
	if m.Kind == MailVerb {
		return m.Dedupe
	}
	return ""
}

// takeVerb turns a verb into the one record that it leaves. A step's attempt under way is interrupted and decides first.
func (a *activation) takeVerb(m Mail) []Record {
	v, err := verbOf(m)
	if err != nil {
		a.w.e.fail(a.w.ctx, fmt.Errorf("saga: %s: mail %d is no verb: %w", a.ref.ID, m.ID, err))
		return nil
	}
	by, ticket := By{m.Actor, m.Reason}, ticketOf(m)
	if _, twice := a.m.seen[ticketKey(ticket)]; twice && ticket != "" {
		return nil
	}
	if n := a.m.node(v.Step); n != nil && v.ofStep() && a.m.admit(v) == nil {
		if t := a.inflight[n.id]; t != nil && t.cmd.Undo == v.Undo {
			a.hold(n.id, m)
			t.ctx.cancel(errInterrupted)
			return nil
		}
	}
	return a.decideVerb(v, by, ticket)
}

func (a *activation) decideVerb(v Verb, by By, ticket string) []Record {
	if err := a.m.admit(v); err != nil {
		a.refused(a.m.node(v.Step), err.Error())
		return []Record{a.m.refusal(v, by, ticket, err)}
	}
	if v.ofStep() {
		delete(a.suspects, v.Step)
	}
	return []Record{v.recordOf(by, ticket)}
}

// hold puts a verb aside until the attempt under way has ended. It stays in the store until then.
func (a *activation) hold(id int, m Mail) {
	if a.held == nil {
		a.held = map[int][]Mail{}
	}
	a.held[id] = append(a.held[id], m)
	for k := range a.mail {
		if a.mail[k].ID == m.ID {
			a.mail = append(a.mail[:k], a.mail[k+1:]...)
			return
		}
	}
}

// release makes the next look hand verbs out again that were put aside.
func (a *activation) release() {
	for id, mail := range a.held {
		for _, m := range mail {
			a.w.forgetMail(m.ID)
		}
		delete(a.held, id)
	}
}

// takeHeld decides what becomes of verbs that waited for an attempt. The first that still applies stands in for the
// attempt's failure, so that this does not turn the saga back or park it.
func (a *activation) takeHeld(r *attemptResult) (records []Record, instead bool) {
	held := a.held[r.node.id]
	delete(a.held, r.node.id)
	for i, m := range held {
		if r.err == nil || instead { // what they meet is the record that this result becomes
			a.post(event{kind: evMail, mail: &held[i]})
			continue
		}
		a.mail = append(a.mail, m)
		records = append(records, a.takeVerb(m)...)
		instead = len(records) > 0 && records[len(records)-1].Kind != Refused
	}
	return records, instead
}

// takeLateResult takes the end of an attempt in that was given up before. Its success is the step's, if the step has no
// outcome yet, because all attempts bear one key. Once the step was given up as unknown it is recorded, and undone.
func (a *activation) takeLateResult(r *attemptResult) []Record {
	if r.undo || r.err != nil || !r.flight.begun.Load() {
		return nil // covered by its repetition or by the undo
	}
	n := a.m.all[r.node.id]
	ns := &a.m.nodes[n.id]
	flight := a.inflight[n.id]
	switch {
	case a.m.dir == forward && ns.status == retrying && flight == nil:
		return []Record{{Kind: Done, Node: n.name, Payload: r.payload}}
	case a.m.dir == forward, ns.known, ns.open, ns.status == pending, ns.status == passedOver:
		return nil
	}
	if flight != nil && flight.cmd.Undo {
		flight.ctx.cancel(errInterrupted)
		delete(a.inflight, n.id)
	}
	return []Record{{Kind: Late, Node: n.name, Payload: r.payload, Reason: "it succeeded after it had been given up"}}
}

// terminateUnreadable ends a saga whose journal nobody can read, if somebody asked for that, and reports whether it did.
func (a *activation) terminateUnreadable() bool {
	for _, m := range a.mail {
		v, err := verbOf(m)
		if err != nil || v.Do != VerbTerminate || m.Kind == MailSignal || m.Kind == MailReply || m.Kind == MailStart {
			continue
		}
		rec := v.recordOf(By{m.Actor, m.Reason}, ticketOf(m))
		rec.Seq, rec.At = a.last+1, a.w.now()
		write := Write{
			Ref: a.ref, LaneEpoch: a.laneEpoch, Records: []Record{rec}, MailDone: a.mailIDs(), End: true, Wake: true,
			Leave:    true, // its queue, if it came through one, which nobody can read
			Standing: &Standing{State: State(TerminatedByHand), Reason: truncate(rec.Reason, 500), Since: rec.At},
		}
		if err := a.w.writer.append(&a.q, write); err != nil {
			a.w.e.fail(a.w.ctx, err)
			return false
		}
		a.mailTaken()
		a.w.readable(a.uid)
		a.w.forget(a)
		a.w.nudgeQueues()
		a.w.e.tell(a.uid, ending{err: &TerminatedError{a.ref.ID, rec.Actor, rec.Reason}})
		if h := a.w.e.cfg.Hooks.Finished; h != nil {
			s := unreadable(a.ref, ErrUnreadable)
			h(a.w.ctx, SagaEvent{Saga: s.Saga, Version: s.Version, ID: a.ref.ID, Outcome: TerminatedByHand, Reason: rec.Reason})
		}
		return true
	}
	return false
}

// terminated describes a saga that cannot be read and was terminated.
func terminated(def *shape, h History) *machine {
	m := newMachine(def, h.Ref.ID)
	m.seq, m.outcome, m.ended = h.Last.Seq, h.Last.End, h.Last.At
	m.actor, m.cause = h.Last.Actor, h.Last.Reason
	if len(h.Records) > 0 {
		m.started = h.Records[0].At
	}
	return m
}

// mailFirst takes signals in that stand in the mailbox, because the deadline of an await is about to pass: one that was
// sent in time wins, however late it is noticed. It reports false when such a signal is on its way here already.
func (d *decision) mailFirst() (ready bool, err error) {
	a := d.a
	mail, err := a.w.e.journal.MailOf(a.w.ctx, a.uid)
	if err != nil {
		return false, err
	}
	for _, m := range mail {
		if m.Kind != MailSignal || a.has(m.ID) {
			continue
		}
		if m.err != nil {
			return false, m.err
		}
		if a.w.handOut(m.ID) {
			a.mail = append(a.mail, m)
			if err := d.addAll(a.takeMail(m)); err != nil {
				return false, err
			}
			continue
		}
		return false, nil
	}
	return true, nil
}

func (a *activation) has(id int64) bool {
	for _, m := range a.mail {
		if m.ID == id {
			return true
		}
	}
	return false
}

// handOut marks mail as handed out and reports whether it was not before.
func (w *worker) handOut(id int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, seen := w.mailSeen[id]; seen {
		return false
	}
	w.mailSeen[id] = struct{}{}
	return true
}

// takePoisoned takes a verb in while the saga is about to be parked, perhaps because of the verb: what its functions have a
// part in is refused.
func (a *activation) takePoisoned(m Mail, p *poisonError) []Record {
	v, err := verbOf(m)
	if err != nil {
		return nil
	}
	if v.Do == VerbCancel || v.Do == VerbTerminate || v.Do == VerbPause {
		return a.takeVerb(m)
	}
	err = &VerbError{ID: a.ref.ID, Verb: v, Why: truncate(p.Error(), 500), cause: ErrNotApplicable}
	a.refused(a.m.node(v.Step), err.Error())
	return []Record{a.m.refusal(v, By{m.Actor, m.Reason}, ticketOf(m), err)}
}

// tooLate tells about what meets a saga that has ended.
func (a *activation) tooLate(events []event) {
	for _, ev := range events {
		if r := ev.result; ev.kind == evResult && !r.undo && r.err == nil && r.flight.begun.Load() {
			a.w.e.fail(a.w.ctx, fmt.Errorf("saga: %s: step %q succeeded after it had been given up and the saga had ended: its effect may stand",
				a.ref.ID, r.node.name))
		}
	}
	h := a.w.e.cfg.Hooks.Refused
	for _, m := range a.mail {
		if m.Actor != "" && h != nil {
			s := unreadable(a.ref, ErrUnreadable)
			h(a.w.ctx, SagaEvent{Saga: s.Saga, Version: s.Version, ID: a.ref.ID, Reason: fmt.Sprintf("%s by %s came after the end", m.Kind, m.Actor)})
		}
	}
}

// terminates reports whether the event asks for the end of a saga, which also one gets that cannot be read.
func (ev event) terminates() bool {
	if ev.kind != evMail {
		return false
	}
	v, err := verbOf(*ev.mail)
	return err == nil && v.Do == VerbTerminate && (ev.mail.Kind == MailVerb || ev.mail.Kind == MailTerminate)
}
