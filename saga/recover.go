package saga

import (
	"math/rand/v2"
	"time"
)

// recoverPage is how many sagas' journals are loaded at once.
const recoverPage = 200

// backlog is what recovery has still to do. Newly claimed lanes take part in everything else at once; only their live sagas
// that nobody woke yet are looked for here, a page of each lane in turn, and no faster than they are worked off: a million
// of them cost no more memory than a few thousand, and a saga that starts meanwhile finds its place.
type backlog struct {
	after map[int64]UID  // per lane, up to where its sagas are in memory
	found map[string]int // by kind, since there was none to do
	kick  chan struct{}
}

// enqueue makes recovery look through lanes.
func (w *worker) enqueue(lanes []int64) {
	if len(lanes) == 0 {
		return
	}
	w.mu.Lock()
	for _, id := range lanes {
		w.backlog.after[id] = UID{}
	}
	w.mu.Unlock()
	select {
	case w.backlog.kick <- struct{}{}:
	default:
	}
	w.timers.wake()
	w.hint()
}

// recoverLoop works the backlog off.
func (w *worker) recoverLoop() {
	for pause := 50 * time.Millisecond; ; {
		select {
		case <-w.ctx.Done():
			return
		case <-w.backlog.kick:
		}
		for lane, ok := w.nextBacklog(0); ok; lane, ok = w.nextBacklog(lane) {
			if !w.awaitRoom() {
				return
			}
			done, err := w.recoverSome(lane)
			if err == nil {
				w.recovered(lane, done)
				pause = 50 * time.Millisecond
				continue
			}
			if w.ctx.Err() != nil {
				return
			}
			w.e.fail(w.ctx, err) // the sagas of that page are looked for again
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(pause/2 + rand.N(pause)):
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// nextBacklog picks the lane after the given one, going round. Lanes that this node does not keep are dropped.
func (w *worker) nextBacklog(after int64) (lane int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var first, next int64
	for id := range w.backlog.after {
		if l := w.lanes[id]; l == nil || l.closing || w.draining {
			w.doneLocked(id)
			continue
		}
		if first == 0 || id < first {
			first = id
		}
		if id > after && (next == 0 || id < next) {
			next = id
		}
	}
	if next == 0 {
		next = first
	}
	return next, next != 0
}

func (w *worker) doneLocked(lane int64) {
	delete(w.backlog.after, lane)
	if l := w.lanes[lane]; l != nil {
		l.recovering = false
	}
}

// recovered notes what a page gave, and tells the hook when nothing is left.
func (w *worker) recovered(lane int64, done bool) {
	if !done {
		return
	}
	w.mu.Lock()
	w.doneLocked(lane)
	var found map[string]int
	if len(w.backlog.after) == 0 {
		found, w.backlog.found = w.backlog.found, map[string]int{}
	}
	w.mu.Unlock()
	select {
	case w.plan <- struct{}{}:
	default:
	}
	w.tellRecovered(found)
}

// recoverSome brings the next live sagas of a lane into memory. Each gets its activation before its journal is read, so
// that nothing else can change it in between; one that has an activation already needs nothing.
func (w *worker) recoverSome(lane int64) (done bool, err error) {
	w.mu.Lock()
	after := w.backlog.after[lane]
	w.mu.Unlock()
	refs, err := w.e.store.Recoverable(w.ctx, []int64{lane}, after, recoverPage)
	if err != nil {
		return false, err
	}
	held := make(map[UID]*activation, len(refs))
	var uids []UID
	for _, r := range refs {
		if a := w.hold(r); a != nil {
			held[r.UID] = a
			uids = append(uids, r.UID)
		}
	}
	if len(uids) > 0 {
		histories, err := w.e.journal.Load(w.ctx, uids)
		if err != nil {
			for _, a := range held {
				a.leave()
				a.takeLate()
			}
			return false, err
		}
		for _, h := range histories {
			held[h.Ref.UID].unhold(&h)
			delete(held, h.Ref.UID)
		}
		for _, a := range held { // forgotten meanwhile
			a.leave()
			a.takeLate()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range refs {
		w.backlog.found[r.Kind]++
	}
	if _, ok := w.backlog.after[lane]; ok && len(refs) > 0 {
		w.backlog.after[lane] = refs[len(refs)-1].UID
	}
	return len(refs) < recoverPage, nil
}

// hold makes an activation that takes events and does nothing yet; nil when there is one, or must be none.
func (w *worker) hold(r Ref) *activation {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[r.Lane]
	if l == nil || l.closing || w.draining || w.setBackLocked(r.UID) || w.acts[r.UID] != nil {
		return nil
	}
	a := &activation{w: w, uid: r.UID, lane: r.Lane, laneEpoch: l.Epoch, running: true}
	w.acts[r.UID] = a
	return a
}

// unhold lets the activation begin, with its journal.
func (a *activation) unhold(h *History) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append([]event{{kind: evLoaded, history: h}}, a.queue...)
	a.running = a.w.actors.start(a.run)
}

// lookAhead is how many sagas are in memory before recovery, timers and the mailbox bring in more: enough to keep every
// attempt that may run at once busy.
func (w *worker) lookAhead() int { return max(2*w.e.cfg.Concurrency, 1024) }

// hasRoom reports whether more sagas may be brought into memory.
func (w *worker) hasRoom() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acts) < w.lookAhead()
}

// awaitRoom waits until there is room. Meanwhile sagas that only wait become rows, so that they make some.
func (w *worker) awaitRoom() bool {
	for !w.hasRoom() {
		w.pressed.Store(true)
		select {
		case <-w.ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.pressed.Store(false)
	return w.ctx.Err() == nil
}
