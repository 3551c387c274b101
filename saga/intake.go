package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// intake looks for mail for this worker's lanes: when somebody says that there is some, and from time to time.
func (w *worker) intake() {
	tick := time.NewTimer(w.e.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.nudge:
		case <-tick.C:
			w.checkEars()
		}
		left := false
		if !w.isDraining() {
			var err error
			if left, err = w.look(); err != nil && w.ctx.Err() == nil {
				w.e.fail(w.ctx, err)
			}
			if err := w.releaseClosed(); err != nil && w.ctx.Err() == nil {
				w.e.fail(w.ctx, err)
			}
		}
		tick.Reset(w.nextLook(left))
	}
}

// nextLook is how long the intake waits when nobody tells it anything.
func (w *worker) nextLook(left bool) time.Duration {
	switch {
	case left:
		return min(w.e.cfg.Poll, 20*time.Millisecond)
	case w.ears.hear() && !w.closesLanes():
		return calmPolls * w.e.cfg.Poll
	default:
		return w.e.cfg.Poll
	}
}

// lookLimit is how much is read at once.
const lookLimit = 500

// look delivers mail: all of it, page by page, so that what cannot be worked off does not hide the rest. Left says that some
// is left because there is no room for its sagas yet.
func (w *worker) look() (left bool, err error) {
	lanes := w.openLanes()
	if len(lanes) == 0 {
		return false, nil
	}
	for after, n := int64(0), lookLimit; n == lookLimit; {
		mail, full, err := w.lookForMail(lanes, after)
		if err != nil {
			return left, err
		}
		if n = len(mail); n > 0 {
			after = mail[n-1].ID
		}
		left = left || full
		if full && n == lookLimit && after > 0 && !w.hasRoom() {
			break // what comes is for later
		}
	}
	return left, nil
}

// lookForMail reads one page and delivers what has not been handed out yet.
func (w *worker) lookForMail(lanes []int64, after int64) (page []Mail, full bool, err error) {
	w.mu.Lock()
	for _, id := range w.mailGone { // deleted before this look began, so it cannot see them any more
		delete(w.mailSeen, id)
	}
	w.mailGone = nil
	w.mu.Unlock()
	mail, err := w.e.journal.Mail(w.ctx, lanes, after, lookLimit)
	if err != nil {
		return nil, false, err
	}
	for _, m := range mail {
		w.mu.Lock()
		_, seen := w.mailSeen[m.ID]
		if !seen && w.acts[m.Saga] == nil && len(w.acts) >= w.lookAhead() {
			full = true
			w.mu.Unlock()
			continue
		}
		w.mailSeen[m.ID] = struct{}{}
		w.mu.Unlock()
		if !seen && !w.deliver(m.Saga, m.Lane, event{kind: evMail, mail: &m}) {
			w.forgetMail(m.ID)
		}
	}
	return mail, full, nil
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
	return len(w.acts) > maxResident || w.pressed.Load()
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
	case MailAdmit:
		if a.m.queued && a.m.dir == forward {
			return []Record{{Kind: Admitted}}
		}
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
			return []Record{{Kind: Parked, Node: n.name, Reason: "the reply does not decode: " + n.guard(err).Error()}}
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
