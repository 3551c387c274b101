package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// residency is how long a saga that waits stays in memory. Shorter waits cost no write; longer ones become a timer row.
const residency = 5 * time.Second

// maxResident bounds the sagas in memory; beyond it every waiting saga becomes a row at once.
const maxResident = 20_000

// decide folds events and records in, adds everything that follows without an effect, and writes all of it in one commit.
// It returns what is left to be done.
func (a *activation) decide(events []event, records []Record) ([]Command, error) {
	d := decision{a: a, now: a.w.now(), records: a.records[:0]}
	a.records = nil
	if len(events) > 1 {
		a.keep(events)
	}
	for _, ev := range events { // one after the other: what an event means depends on those before it
		if ev.kind == evResult && len(a.kept) > 0 {
			a.kept = a.kept[1:]
		}
		if err := d.addAll(a.take(ev)); err != nil {
			return nil, err
		}
	}
	if err := d.addAll(records); err != nil {
		return nil, err
	}
	cmds, err := d.settle()
	if err != nil {
		return nil, err
	}
	a.interrupt()
	write := Write{Ref: a.ref, LaneEpoch: a.laneEpoch, Records: d.records, MailDone: a.mailIDs(), End: a.m.outcome != outcomeNone}
	write.Leave = write.End && a.m.queue != ""
	if write.End {
		write.Wake = a.asleep
	} else {
		a.planSleep(&write, cmds, d.now)
	}
	a.project(&write, a.m)
	if len(write.Records) == 0 && len(write.MailDone) == 0 && write.Sleep.IsZero() && !write.Wake {
		return cmds, nil
	}
	if err := a.w.writer.append(&a.q, write); err != nil {
		return nil, err
	}
	a.written(write)
	clear(write.Records)
	a.records = write.Records // nobody else has them any more
	return cmds, nil
}

// written notes what a durable write changed outside of the machine.
func (a *activation) written(write Write) {
	a.mailTaken()
	a.tellOf(write.Records)
	if write.Standing != nil {
		a.shown = write.Standing.State
	}
	switch {
	case write.End:
		a.w.timers.forget(a.uid)
		a.finish()
		if write.Leave {
			a.w.nudgeQueues()
		}
	case !write.Sleep.IsZero():
		a.asleep, a.asleepTil = true, write.Sleep
		a.w.timers.note(a.uid, a.lane, write.Sleep)
	case write.Wake:
		a.asleep, a.asleepTil = false, time.Time{}
		a.w.timers.forget(a.uid)
	}
	if h := a.w.e.cfg.Hooks.Admitted; h != nil && a.m.queue != "" && slices.ContainsFunc(write.Records, isAdmitted) {
		e := a.m.event()
		e.Duration = a.w.now().Sub(a.m.started)
		h(a.w.e.contextOf(a.w.ctx, a.m), e)
	}
	if a.m.parked && slices.ContainsFunc(write.Records, func(r Record) bool { return r.Kind == Parked }) {
		a.w.e.tell(a.uid, a.m.ending())
		if h := a.w.e.cfg.Hooks.Parked; h != nil {
			h(a.values(), a.m.event())
		}
	}
}

func isAdmitted(r Record) bool { return r.Kind == Admitted }

// planSleep decides whether the saga becomes a row that waits for its time.
func (a *activation) planSleep(write *Write, cmds []Command, now time.Time) {
	due, ready := a.nextDue(cmds, now)
	idle := !ready && len(a.inflight) == 0
	long := due.Sub(now) > residency || a.w.crowded()
	if idle && long {
		if !a.asleep || !a.asleepTil.Equal(due) {
			write.Sleep = due
		}
		return
	}
	write.Wake = a.asleep
}

// nextDue is when the saga has something to do besides the attempts under way, and whether that is now.
func (a *activation) nextDue(cmds []Command, now time.Time) (due time.Time, ready bool) {
	if due = Forever; a.m.queued && a.m.dir == forward && !a.m.parked {
		due = untilAdmitted
	}
	for _, c := range cmds {
		if a.inflight[c.node.id] != nil {
			continue
		}
		if c.NotBefore.Before(due) {
			due = c.NotBefore
		}
		if c.Op == OpRun && !c.NotBefore.After(now) {
			ready = true
		}
	}
	return due, ready
}

// rest arranges for the next look at a saga that cannot go on right now and reports whether it may leave memory.
func (a *activation) rest(cmds []Command) (leave bool) {
	if a.timer != nil {
		a.timer.Stop()
	}
	if a.w.isDraining() || !a.w.open(a.lane) {
		a.handOver()
		return len(a.inflight) == 0
	}
	now := a.w.now()
	due, ready := a.nextDue(cmds, now)
	if len(a.inflight) == 0 && !ready && a.asleep {
		return true
	}
	if len(a.inflight) > 0 && !ready && due.Equal(Forever) {
		return false // the attempts' results come next
	}
	wait := due.Sub(now)
	if ready {
		wait = a.w.e.cfg.TTL / 20 // the lease is not fresh; the next beat may confirm it
	}
	wait = min(wait, residency) // a wait that turns out longer becomes a row then
	a.timer = time.AfterFunc(max(wait, 0), func() { a.post(event{kind: evWake}) })
	return false
}

// handOver stops the attempts under way when other nodes have waited long enough for the lane.
func (a *activation) handOver() {
	if !a.w.overdue(a.lane) {
		return
	}
	for _, f := range a.inflight {
		f.ctx.cancel(errDraining)
	}
}

// interrupt cancels forward attempts of a saga that has turned back. A pivot's outcome must become known.
func (a *activation) interrupt() {
	if a.m.dir != backward {
		return
	}
	for id, f := range a.inflight {
		if !f.cmd.Undo && a.m.all[id].class != pivot {
			f.ctx.cancel(errInterrupted)
		}
	}
}

// openSteps names the steps that may have been attempted and have no recorded outcome.
func (a *activation) openSteps(except string) []string {
	var open []string
	for id, f := range a.inflight {
		if name := a.m.all[id].name; !f.cmd.Undo && name != except {
			open = append(open, name)
		}
	}
	for name := range a.suspects {
		n := a.m.node(name)
		if name != except && !slices.Contains(open, name) && !a.m.nodes[n.id].over() {
			open = append(open, name)
		}
	}
	slices.Sort(open)
	return open
}

// finish tells the end. The saga has left memory by then, so that whoever asks from now on reads the journal.
func (a *activation) finish() {
	a.w.forget(a)
	a.w.e.tell(a.uid, a.m.ending())
	if h := a.w.e.cfg.Hooks.Finished; h != nil {
		h(a.values(), a.m.event())
	}
}

// poisonError says that the saga cannot go on because of its own definition or data, so that trying again changes nothing.
type poisonError struct {
	step string
	err  error
}

func (e *poisonError) Error() string { return e.err.Error() }
func (e *poisonError) Unwrap() error { return e.err }

func (e *poisonError) record() Record {
	return Record{Kind: Parked, Node: e.step, Reason: truncate(e.Error(), 2000)}
}

// park puts a saga aside that cannot go on, so that it is visible, changes no other, and waits for somebody.
func (a *activation) park(p *poisonError) error {
	a.w.e.fail(a.w.ctx, p)
	a.m = nil
	if err := a.open(nil); err != nil || a.m == nil {
		return err
	}
	// The mail at hand may be what cannot be folded, so it must not come back. What only changes the books is kept.
	var records []Record
	for _, m := range a.mail {
		switch m.Kind {
		case MailSignal, MailAdmit:
			records = append(records, a.takeMail(m)...)
		case MailCancel, MailRetry, MailTerminate, MailVerb:
			records = append(records, a.takePoisoned(m, p)...)
		}
	}
	if a.m.parked && len(records) == 0 && len(a.mail) == 0 {
		return nil
	}
	_, err := a.decide(nil, append(records, p.record()))
	return err
}

// decision is one round of deciding: records made so far, and the time it all counts as.
type decision struct {
	a       *activation
	now     time.Time
	records []Record
	looked  bool // the mailbox holds no signal that an await waits for
}

func (d *decision) addAll(records []Record) error {
	for _, r := range records {
		if err := d.add(r); err != nil {
			return err
		}
	}
	return nil
}

func (d *decision) add(r Record) error {
	if d.a.m.outcome != outcomeNone {
		if r.Actor != "" {
			d.a.refused(nil, fmt.Sprintf("%s by %s came after the end", r.Kind, r.Actor))
		}
		return nil // nothing follows an end
	}
	r.Seq, r.At = d.a.m.seq+1, d.now
	switch r.Kind {
	case Rejected, Unknown, Expired, Cancelled, Terminated:
		r.Open = d.a.openSteps(r.Node)
	}
	d.a.examine(r)
	if err := d.a.m.apply(r); err != nil {
		return &poisonError{r.Node, err}
	}
	d.records = append(d.records, r)
	return nil
}

// settle adds records for everything that needs no effect, until only effects and waits are left.
func (d *decision) settle() ([]Command, error) {
	for {
		cmds := d.a.m.next()
		found, err := d.first(cmds)
		if poison := (*poisonError)(nil); errors.As(err, &poison) {
			// What led here is sound and is kept: a step's result must not be lost because the saga parks behind it.
			d.a.w.e.fail(d.a.w.ctx, poison)
			found, err = []Record{poison.record()}, nil
		}
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return cmds, nil
		}
		if found[0].Kind == Ended && len(d.records) > 0 {
			// The last result and the end are one record.
			last := &d.records[len(d.records)-1]
			last.End = found[0].End
			d.a.m.outcome, d.a.m.ended = last.End, d.now
			continue
		}
		if err := d.addAll(found); err != nil {
			return nil, err
		}
	}
}

// first finds the first command that records answer.
func (d *decision) first(cmds []Command) (_ []Record, err error) {
	var at string
	defer func() {
		if p := recover(); p != nil { // a condition, a wait, the items of an each or the input of a child
			err = &poisonError{at, fmt.Errorf("a function of the definition panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	for _, c := range cmds {
		at = c.Node
		switch c.Op {
		case OpEnd:
			return d.a.one(Record{Kind: Ended, End: c.Outcome}), nil
		case OpSettle:
			if d.a.inflight[c.node.id] == nil {
				return d.a.one(Record{Kind: Unknown, Node: c.Node, Reason: "interrupted; its outcome is not known"}), nil
			}
		case OpOpen:
			r, err := d.a.openScope(c.node)
			return []Record{r}, err
		case OpDecide:
			state, err := d.a.m.stateFor(c.node)
			return d.a.one(Record{Kind: Branched, Node: c.Node, Taken: err == nil && c.node.when(state)}), err
		case OpArm:
			wait := c.node.within
			if c.node.kind == kindSleep {
				state, err := d.a.m.stateFor(c.node)
				if err != nil {
					return nil, err
				}
				wait = max(c.node.sleep(state), 0)
			}
			return d.a.one(Record{Kind: Armed, Node: c.Node, Due: d.now.Add(wait)}), nil
		case OpDeliver:
			r, err := d.a.deliverSignal(c.node)
			return d.a.one(r), err
		case OpWait:
			if c.NotBefore.After(d.now) {
				continue
			}
			if c.node.kind == kindAwait && !d.looked {
				var err error
				before := len(d.records)
				if d.looked, err = d.mailFirst(); err != nil {
					return nil, err
				}
				if len(d.records) > before {
					return d.first(d.a.m.next())
				}
				if !d.looked {
					continue // the signal is on its way here
				}
			}
			return d.a.waitOver(c, d.now), nil
		}
	}
	return nil, nil
}

func (a *activation) deliverSignal(n *node) (Record, error) {
	state, err := a.m.stateCopy(n) // a copy: the fold may refuse half way through
	if err != nil {
		return Record{}, err
	}
	payload, _ := a.m.hasSignal(n.signal)
	if _, err := n.deliver(state, payload); err != nil {
		reason := n.guard(err).Error()
		var reject *RejectError
		if errors.As(err, &reject) {
			reason = reject.Reason
		}
		reason = truncate(reason, 2000)
		if a.m.pivotDone() {
			return Record{Kind: Parked, Node: n.name, Reason: reason}, nil
		}
		return Record{Kind: Rejected, Node: n.name, Reason: reason}, nil
	}
	return Record{Kind: Done, Node: n.name, Payload: payload}, nil
}

// waitOver says what the end of a wait means.
func (a *activation) waitOver(c Command, now time.Time) []Record {
	switch c.node.kind {
	case kindSleep:
		return []Record{{Kind: Done, Node: c.Node}}
	case kindAwait:
		return []Record{{Kind: Expired, Node: c.Node, Reason: fmt.Sprintf("no %q within %s", c.node.signal, c.node.within)}}
	default:
		return a.failure(c.node, c.Undo, fmt.Errorf("no reply within %s", c.node.limitOf(c.Undo)), now)
	}
}

// ending is what watchers of the saga are told when it ended or parked.
func (m *machine) ending() (end ending) {
	end = ending{state: m.state, err: m.err()}
	if m.def.flat || m.outcome != outcomeNone {
		return end
	}
	defer func() { _ = recover() }()          // a fold that panics is what many a saga is parked for
	end.state, _ = m.compute(m.def.root, nil) // a copy: a parked saga may go on
	return end
}

// err is the error with which a saga's result is reported, nil while it runs and when it completed.
func (m *machine) err() error {
	switch {
	case m.outcome == Compensated:
		return &CompensatedError{m.id, m.causeStep, m.cause}
	case m.outcome == TerminatedByHand:
		return &TerminatedError{m.id, m.actor, m.cause}
	case m.parked && m.outcome == outcomeNone:
		return &ParkedError{m.id, m.parkedAt, m.parkReason}
	}
	return nil
}

func (m *machine) event() SagaEvent {
	e := SagaEvent{Saga: m.def.name, Version: m.def.version, ID: m.id, Outcome: m.outcome, Step: m.causeStep, Reason: m.cause, Queue: m.queue}
	if m.parked {
		e.Step, e.Reason = m.parkedAt, m.parkReason
	}
	if !m.ended.IsZero() {
		e.Duration = m.ended.Sub(m.started)
	}
	return e
}

func encodeResult(v any, limit int) (json.RawMessage, error) {
	if _, none := v.(None); none {
		return nil, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("result of type %T does not encode as JSON: %w", v, err)
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("%w: result of %d bytes, limit %d", ErrTooLarge, len(raw), limit)
	}
	return textOf(raw), nil
}
