package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// intake looks for mail and due timers of this worker's lanes, at every poll and when somebody in this process left some.
func (w *worker) intake() {
	tick := time.NewTicker(w.e.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.nudge:
		case <-tick.C:
		}
		if w.isDraining() {
			continue
		}
		if err := w.look(); err != nil && w.ctx.Err() == nil {
			w.e.fail(w.ctx, err)
		}
		if err := w.releaseClosed(); err != nil && w.ctx.Err() == nil {
			w.e.fail(w.ctx, err)
		}
	}
}

// lookLimit is how much is read at once.
const lookLimit = 500

// look delivers mail and due timers: all of them, page by page, so that what cannot be worked off does not hide the rest.
func (w *worker) look() error {
	lanes := w.openLanes()
	if len(lanes) == 0 {
		return nil
	}
	for after, n := int64(0), lookLimit; n == lookLimit; {
		mail, err := w.lookForMail(lanes, after)
		if err != nil {
			return err
		}
		if n = len(mail); n > 0 {
			after = mail[n-1].ID
		}
	}
	var after Timer
	for n := lookLimit; n == lookLimit; {
		due, err := w.e.store.Due(w.ctx, lanes, after, lookLimit)
		if err != nil {
			return err
		}
		for _, t := range due {
			w.deliver(t.Ref.UID, t.Ref.Lane, event{kind: evWake})
		}
		if n = len(due); n > 0 {
			after = due[n-1]
		}
	}
	return nil
}

// lookForMail reads one page and delivers what has not been handed out yet.
func (w *worker) lookForMail(lanes []int64, after int64) ([]Mail, error) {
	w.mu.Lock()
	for _, id := range w.mailGone { // deleted before this look began, so it cannot see them any more
		delete(w.mailSeen, id)
	}
	w.mailGone = nil
	w.mu.Unlock()
	mail, err := w.e.store.Mail(w.ctx, lanes, after, lookLimit)
	if err != nil {
		return nil, err
	}
	for _, m := range mail {
		w.mu.Lock()
		_, seen := w.mailSeen[m.ID]
		w.mailSeen[m.ID] = struct{}{}
		w.mu.Unlock()
		if !seen && !w.deliver(m.Saga, m.Lane, event{kind: evMail, mail: &m}) {
			w.forgetMail(m.ID)
		}
	}
	return mail, nil
}

// forgetMail makes the next look hand mail out again, if it still stands in the store.
func (w *worker) forgetMail(ids ...int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		delete(w.mailSeen, id)
	}
}

// mailTaken notes that mail was deleted from the store. A look that is under way may still have seen it, so it is not
// forgotten before the next one.
func (w *worker) mailTaken(ids []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mailGone = append(w.mailGone, ids...)
}

// hint makes the intake look at once.
func (w *worker) hint() {
	select {
	case w.nudge <- struct{}{}:
	default:
	}
}

func (w *worker) crowded() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acts) > maxResident
}

// take turns an event into records.
func (a *activation) take(ev event) []Record {
	switch ev.kind {
	case evResult:
		return a.takeResult(ev.result)
	case evMail:
		return a.takeMail(*ev.mail)
	default:
		return nil
	}
}

func (a *activation) takeResult(r *attemptResult) []Record {
	if a.inflight[r.node.id] != r.flight {
		return a.takeLateResult(r)
	}
	delete(a.inflight, r.node.id)
	if r.void || r.err != nil && a.w.steps.Err() != nil {
		a.release()
		return nil // stopping: whoever owns the saga next repeats the attempt
	}
	verbs, instead := a.takeHeld(r)
	if instead {
		return verbs
	}
	if r.err == nil {
		return a.one(Record{Kind: Done, Node: r.node.name, Undo: r.undo, Payload: r.payload, value: r.value})
	}
	return append(verbs, a.failure(r.node, r.undo, r.err, a.w.now())...)
}

func (a *activation) takeMail(m Mail) []Record {
	switch m.Kind {
	case MailStart:
		if h := a.w.e.cfg.Hooks.Started; h != nil {
			h(a.values(), a.m.event())
		}
	case MailSignal:
		if _, twice := a.m.seen[m.Name+"\x00"+m.Dedupe]; twice && m.Dedupe != "" {
			return nil
		}
		if await, reason := a.m.refuseSignal(m.Name, m.At); reason != "" {
			a.refused(await, reason)
			return nil
		}
		return []Record{{Kind: Signalled, Name: m.Name, Dedupe: m.Dedupe, Payload: m.Payload}}
	case MailReply:
		return a.takeReply(m)
	case MailCancel, MailRetry, MailTerminate, MailVerb:
		return a.takeVerb(m)
	}
	return nil
}

func (a *activation) refused(await *node, reason string) {
	h := a.w.e.cfg.Hooks.Refused
	if h == nil {
		return
	}
	e := a.m.event()
	if e.Step, e.Reason = "", reason; await != nil {
		e.Step = await.name
	}
	h(a.values(), e)
}

// takeReply matches a reply with the remote step that waits for it. A reply that comes too late is dropped: the command
// that takes the step back was sent, and the participant honours it whatever it did before.
func (a *activation) takeReply(m Mail) []Record {
	uid, rest, _ := strings.Cut(m.Name, "/")
	cut := strings.LastIndexByte(rest, '/')
	if uid != a.uid.String() || cut < 0 {
		a.w.e.fail(a.w.ctx, fmt.Errorf("saga: %s: a reply with the key %q fits no step", a.ref.ID, m.Name))
		return nil
	}
	n, undo := a.m.node(rest[:cut]), rest[cut+1:] == "undo"
	if n == nil || n.kind != kindRemote {
		a.w.e.fail(a.w.ctx, fmt.Errorf("saga: %s: a reply with the key %q fits no remote step", a.ref.ID, m.Name))
		return nil
	}
	switch s := a.m.nodes[n.id].status; {
	case !undo && (s == armed || s == retrying):
		if m.Rejected {
			return a.failure(n, false, &RejectError{m.Reason}, a.w.now())
		}
		if _, err := n.decode(m.Payload); err != nil || len(m.Payload) > 0 && !json.Valid(m.Payload) {
			if err == nil {
				err = errors.New("it is no JSON")
			}
			return []Record{{Kind: Parked, Node: n.name, Reason: "the reply does not decode: " + err.Error()}}
		}
		return []Record{{Kind: Done, Node: n.name, Payload: json.RawMessage(m.Payload)}}
	case undo && (s == undoArmed || s == undoRetrying):
		if m.Rejected {
			return a.failure(n, true, &RejectError{m.Reason}, a.w.now())
		}
		return []Record{{Kind: Done, Node: n.name, Undo: true}}
	}
	return nil
}
