package saga

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

type eventKind uint8

const (
	evWake   eventKind = iota // look again
	evLoaded                  // history holds the journal
	evBirth                   // the saga is to be written for the first time
	evMail
	evResult
)

type event struct {
	kind    eventKind
	history *History
	birth   *birth
	mail    *Mail
	result  *attemptResult
}

// activation is one saga in memory. It is an actor without a goroutine of its own: events are queued, and a goroutine runs
// while there are some. At most one runs at a time, so everything below queue belongs to it alone.
type activation struct {
	w    *worker
	uid  UID
	lane int64

	mu      sync.Mutex
	queue   []event
	running bool
	gone    bool // removed from memory; a new event makes a new activation

	ref       Ref
	m         *machine // nil: the journal must be read
	laneEpoch int64
	asleep    bool // the store holds a timer for it
	asleepTil time.Time
	inflight  map[int]*attempt    // by the number of the node, which the journal fixes
	tail      *attempt            // to be carried out by the goroutine that works for the saga
	base      context.Context     // values for attempts and hooks, made when needed
	q         queued              // the write under way
	spare     []event             // a queue to use again
	records   []Record            // of a decision, to use again
	scratch   [1]Record           // see one
	suspects  map[string]struct{} // may have been attempted by a former owner
	timer     *time.Timer
	mail      []Mail  // taken up and not yet durable
	kept      []event // results that wait until the journal can be read

	turned bool        // that it turned back was told to the hooks
	waits  []WaitEvent // that are over, not yet durable
	published

	held  map[int][]Mail // verbs that wait for the attempt of a node
	last  int64          // the number of the newest record when the journal was read
	shown State          // what searches know, as Standing.State
}

// deliver hands an event to the saga's activation, making one if there is none. Events for lanes that are not ours, or
// no longer, are refused: whoever owns the lane finds them in the store.
func (w *worker) deliver(uid UID, lane int64, ev event) bool {
	for {
		w.mu.Lock()
		l := w.lanes[lane]
		if l == nil || (w.draining || w.setBackLocked(uid) && !ev.terminates()) && ev.kind != evResult {
			w.mu.Unlock()
			return false
		}
		a := w.acts[uid]
		if a == nil {
			if l.closing {
				w.mu.Unlock()
				return false
			}
			a = &activation{w: w, uid: uid, lane: lane, laneEpoch: l.Epoch}
			w.acts[uid] = a
		}
		w.mu.Unlock()
		if a.post(ev) {
			return true
		}
	}
}

// post queues an event and sees to it that somebody works. It reports false when the activation has left memory.
func (a *activation) post(ev event) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return false
	}
	a.queue = append(a.queue, ev)
	if !a.running {
		a.running = a.w.actors.start(a.run)
	}
	return true
}

// run works for the saga until nothing is left to do. An attempt that was begun last is carried out right here, while
// somebody else may work for the saga; where its result finds nobody at work, this goroutine goes on.
func (a *activation) run() {
	working := true // for the saga; nobody else does then
	defer func() {
		if working {
			a.w.actors.start(a.abandoned)
		}
	}()
	for {
		a.mu.Lock()
		t, events := a.tail, a.queue
		a.tail, a.queue = nil, a.spare[:0]
		if len(events) == 0 {
			a.running, a.queue, working = false, events, false
			a.mu.Unlock()
			if t == nil || !a.resume(t.carryOut()) {
				return
			}
			working = true
			continue
		}
		a.mu.Unlock()
		if t != nil {
			a.spawn(t)
		}
		if a.w.ctx.Err() != nil {
			working = false
			a.leave()
			return
		}
		if a.work(events) {
			working = false
			a.leave()
			a.takeLate()
			return
		}
		a.publish()
		clear(events)
		a.spare = events
	}
}

// abandoned puts a saga aside because a function of its definition ended the goroutine that worked for it.
func (a *activation) abandoned() {
	a.giveUp(fmt.Errorf("%w: %s: a function of the definition called runtime.Goexit", ErrUnreadable, a.ref.ID))
	a.leave()
	a.takeLate()
}

// resume takes the result of an attempt in and reports whether whoever brings it is to go on with [activation.run].
func (a *activation) resume(r *attemptResult) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone { // the attempt had been given up, and the saga sleeps, was taken up again, or has ended
		a.w.actors.start(func() { a.w.deliver(a.uid, a.lane, event{kind: evResult, result: r}) })
		return false
	}
	a.queue = append(a.queue, event{kind: evResult, result: r})
	if a.running {
		return false
	}
	a.running = true
	return true
}

// one gives a record as the list that is taken in next; the list is good until then.
func (a *activation) one(r Record) []Record {
	a.scratch[0] = r
	return a.scratch[:]
}

// values is the context of what is done for the saga, without an end.
func (a *activation) values() context.Context {
	if a.base == nil {
		a.base = a.w.e.contextOf(a.w.values, a.m)
	}
	return a.base
}

// leave removes the activation from memory. Events that come later make a new one.
func (a *activation) leave() {
	if a.timer != nil {
		a.timer.Stop()
	}
	for _, f := range a.inflight { // of a saga that was terminated
		f.ctx.cancel(errInterrupted)
	}
	a.release()
	a.w.forget(a)
}

// forget takes an activation out of memory, unless another one has its place.
func (w *worker) forget(a *activation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acts[a.uid] == a {
		delete(w.acts, a.uid)
	}
}

// resident reports whether the saga is in this process's memory.
func (e *Engine) resident(uid UID) bool {
	w := e.current()
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acts[uid] != nil
}

// takeLate marks the activation gone and passes events that slipped in on to its successor.
func (a *activation) takeLate() {
	a.mu.Lock()
	late := a.queue
	a.queue, a.gone, a.running = nil, true, false
	a.mu.Unlock()
	for _, ev := range late {
		if !a.w.deliver(a.uid, a.lane, ev) && ev.kind == evMail {
			a.w.forgetMail(ev.mail.ID)
		}
	}
}

// birth is a saga that Start wants to exist.
type birth struct {
	ctx     context.Context // of Start, for the hook
	write   Write
	machine *machine
	done    chan error
}

// begin writes the first record. The activation stands before the saga does, so that nothing reaches it any other way.
func (a *activation) begin(b *birth) bool {
	b.write.LaneEpoch = a.laneEpoch
	err := a.w.writer.append(&a.q, b.write)
	if err == nil {
		a.m, a.ref = b.machine, b.write.Ref
		a.asleep, a.asleepTil = !b.write.Sleep.IsZero(), b.write.Sleep
		if h := a.w.e.cfg.Hooks.Started; h != nil {
			h(b.ctx, a.m.event())
		}
		a.publish()
	}
	b.done <- err
	return err == nil
}

// work takes events in, writes what follows from them and starts what is due. It reports whether the activation may leave
// memory.
func (a *activation) work(events []event) (leave bool) {
	defer func() {
		if p := recover(); p != nil {
			leave = a.failed(&poisonError{"", fmt.Errorf("a function of the definition panicked: %v\n%s", p, debug.Stack())})
		}
	}()
	if b := events[0].birth; b != nil && !a.begin(b) {
		return true
	}
	if len(a.kept) > 0 {
		events = append(a.kept, events...)
		a.kept = nil
	}
	var sealed error
	for _, ev := range events {
		if ev.kind == evMail {
			a.mail = append(a.mail, *ev.mail)
			if ev.mail.err != nil {
				sealed = ev.mail.err
			}
		}
	}
	err := a.open(events)
	if err == nil && a.m != nil {
		err = sealed // it stays in the mailbox until it can be read; without it the saga might take another turn
	}
	if err != nil {
		a.keep(events)
		return a.failed(err)
	}
	if a.m == nil { // the saga has ended
		a.tooLate(events)
		a.dropMail()
		return true
	}
	var records []Record
	for {
		more, err := a.decide(events, records)
		if err != nil {
			return a.failed(err)
		}
		events = nil
		if a.m.outcome != outcomeNone {
			return true
		}
		again, err := a.start(more)
		if err != nil {
			return a.failed(err)
		}
		if again == nil {
			return a.rest(more)
		}
		records = again
	}
}

// keep puts results aside that could not be taken in yet. Their attempts count as under way until then.
func (a *activation) keep(events []event) {
	for _, ev := range events {
		if ev.kind == evResult {
			a.kept = append(a.kept, ev)
		}
	}
}

// open makes sure that the machine stands.
func (a *activation) open(events []event) error {
	if a.m != nil {
		return nil
	}
	for _, ev := range events {
		if ev.kind == evLoaded {
			err := a.replay(*ev.history)
			a.asleep = false // recovery finds only those that are awake
			return err
		}
	}
	histories, err := a.w.e.journal.Load(a.w.ctx, []UID{a.uid})
	if err != nil {
		return err
	}
	if len(histories) == 0 {
		return nil
	}
	return a.replay(histories[0])
}

func (a *activation) replay(h History) error {
	a.ref, a.last = h.Ref, h.Last.Seq
	m, err := a.w.e.replay(h)
	if err != nil {
		return err
	}
	a.w.readable(a.uid)
	if m.outcome != outcomeNone {
		a.m = nil
		return nil
	}
	a.turned = m.dir == backward
	a.m, a.asleep = m, true // whether a timer stands in the store is not known; removing none is harmless
	a.asleepTil, a.shown = time.Time{}, m.standing().State
	a.suspects = map[string]struct{}{}
	asked := *m
	asked.parked = false // while it is parked it asks for nothing; what it asked for before may have been attempted
	for _, c := range asked.next() {
		// A former owner may have been carrying this out when it died; only steps without a record of their own dispatch
		// can have had an effect that the journal does not show.
		if c.Op == OpRun && !c.Undo && c.node.kind == kindStep {
			a.suspects[c.Node] = struct{}{}
		}
	}
	return nil
}

// failed handles an error of the work at hand and reports whether the activation may leave memory.
func (a *activation) failed(err error) bool {
	var poison *poisonError
	if errors.As(err, &poison) {
		if err = a.park(poison); err == nil {
			if len(a.kept) > 0 {
				a.again(0)
			}
			return len(a.inflight) == 0
		}
	}
	if errors.Is(err, ErrUnreadable) && a.terminateUnreadable() {
		return true
	}
	a.giveUp(err)
	return len(a.inflight) == 0
}

// giveUp handles an error that this activation cannot work on with: it forgets what it knew and lets time pass, because
// the database may come back. A journal that cannot be read wants another version of the program, so it gets ever more
// time.
func (a *activation) giveUp(err error) {
	a.m = nil
	a.releaseMail()
	if a.w.ctx.Err() != nil || errors.Is(err, ErrFenced) {
		return
	}
	if errors.Is(err, ErrStale) {
		a.again(10 * time.Millisecond)
		return
	}
	a.w.e.fail(a.w.ctx, err)
	pause := time.Second
	if errors.Is(err, ErrUnreadable) || errors.Is(err, ErrNotRegistered) {
		pause = a.w.setBack(a.uid)
	}
	a.again(pause)
}

// again delivers a wake-up later, which reads the journal anew.
func (a *activation) again(after time.Duration) {
	w, uid, lane := a.w, a.uid, a.lane
	time.AfterFunc(after, func() {
		if w.ctx.Err() == nil {
			w.deliver(uid, lane, event{kind: evWake})
		}
	})
}

func (a *activation) mailIDs() []int64 {
	var ids []int64
	for _, m := range a.mail {
		ids = append(ids, m.ID)
	}
	return ids
}

// releaseMail forgets that mail was handed out, so that the next look delivers it again.
func (a *activation) releaseMail() {
	a.w.forgetMail(a.mailIDs()...)
	a.mail = nil
}

// dropMail deletes mail for a saga that has ended.
func (a *activation) dropMail() {
	if len(a.mail) == 0 {
		return
	}
	if err := a.w.e.store.DropMail(a.w.ctx, a.mailIDs()); err != nil {
		a.w.e.fail(a.w.ctx, err)
		a.releaseMail()
		return
	}
	a.mailTaken()
}

// mailTaken notes that the mail is in the journal and no longer in the mailbox.
func (a *activation) mailTaken() {
	a.w.mailTaken(a.mailIDs())
	a.mail = nil
}
