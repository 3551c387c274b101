package saga

import (
	"cmp"
	"container/heap"
	"slices"
	"sync"
	"time"
)

const (
	// timerPage is how many timers are read at once.
	timerPage = 1000
	// maxTimers bounds the timers in memory.
	maxTimers = 4 * timerPage
)

// timers are the next ones of this worker's lanes, in memory: nobody else makes any for them, so the store is asked only
// when these run out. What is due first is always among them.
type timers struct {
	mu      sync.Mutex
	heap    timerHeap
	at      map[UID]*sleeper
	until   Timer // everything up to here, in the order of due and UID, is in memory
	all     bool  // nothing is beyond until
	lanes   []int64
	claims  int // see worker.claims
	filling bool
	noted   []Timer // while filling: what the reply may not show
	kick    chan struct{}
	longest time.Duration // without a look
}

type sleeper struct {
	uid  UID
	lane int64
	due  time.Time
	pos  int
}

func newTimers() *timers {
	return &timers{at: map[UID]*sleeper{}, kick: make(chan struct{}, 1), longest: time.Second}
}

// note remembers that a saga fell asleep, once that is durable.
func (t *timers) note(uid UID, lane int64, due time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	timer := Timer{Ref: Ref{UID: uid, Lane: lane}, Due: due}
	if t.filling {
		t.noted = append(t.noted, timer)
	}
	t.noteLocked(timer, false)
	if len(t.heap) > 0 && t.heap[0].uid == uid {
		t.wake()
	}
}

// again remembers a saga that could not be woken.
func (t *timers) again(uid UID, lane int64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noteLocked(Timer{Ref: Ref{UID: uid, Lane: lane}, Due: at}, true)
}

func (t *timers) noteLocked(n Timer, always bool) {
	if s := t.at[n.Ref.UID]; s != nil {
		heap.Remove(&t.heap, s.pos)
		delete(t.at, n.Ref.UID)
	}
	if !n.Due.Before(Forever) || !always && !t.all && compareTimers(n, t.until) > 0 {
		return // it will be read when its time comes near
	}
	s := &sleeper{uid: n.Ref.UID, lane: n.Ref.Lane, due: n.Due}
	t.at[n.Ref.UID] = s
	heap.Push(&t.heap, s)
	if len(t.heap) > maxTimers {
		t.shrinkLocked()
	}
}

// shrinkLocked forgets the later half: it is read again.
func (t *timers) shrinkLocked() {
	slices.SortFunc(t.heap, compareSleepers) // a sorted slice is a heap
	for _, s := range t.heap[maxTimers/2:] {
		delete(t.at, s.uid)
	}
	clear(t.heap[maxTimers/2:])
	t.heap = t.heap[:maxTimers/2]
	for i, s := range t.heap {
		s.pos = i
	}
	last := t.heap[len(t.heap)-1]
	t.until, t.all = Timer{Ref: Ref{UID: last.uid}, Due: last.due}, false
}

// forget drops a saga that no longer sleeps.
func (t *timers) forget(uid UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.at[uid]; s != nil {
		heap.Remove(&t.heap, s.pos)
		delete(t.at, uid)
	}
}

// wake makes the loop look again.
func (t *timers) wake() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// begin readies a fill of the lanes and says from where; ok is false when none is needed.
func (t *timers) begin(lanes []int64, claims int) (after Timer, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if claims != t.claims || !slices.Equal(lanes, t.lanes) { // of new lanes nothing is known
		t.claims, t.lanes, t.until, t.all, t.heap, t.at = claims, lanes, Timer{}, false, nil, map[UID]*sleeper{}
	}
	if len(lanes) == 0 || !t.dryLocked() {
		return after, false
	}
	t.filling, t.noted = true, nil
	return t.until, true
}

// dryLocked says that everything up to until is over, and there may be more. Later than that there may be sagas that could
// not be woken.
func (t *timers) dryLocked() bool {
	return !t.all && (len(t.heap) == 0 || compareTimers(Timer{Ref: Ref{UID: t.heap[0].uid}, Due: t.heap[0].due}, t.until) > 0)
}

// fill takes a page in.
func (t *timers) fill(page []Timer, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.filling = false
	if err != nil {
		return
	}
	if t.all = len(page) < timerPage; !t.all {
		t.until = page[len(page)-1]
	}
	for _, n := range append(page, t.noted...) {
		t.noteLocked(n, false)
	}
	t.noted = nil
}

// pop returns the next saga that is due, or how long to wait before the next look.
func (t *timers) pop(now time.Time) (s *sleeper, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lanes) > 0 && t.dryLocked() {
		return nil, 0
	}
	if len(t.heap) == 0 {
		return nil, t.longest
	}
	if wait := t.heap[0].due.Sub(now); wait > 0 {
		return nil, min(wait, t.longest)
	}
	s = heap.Pop(&t.heap).(*sleeper)
	delete(t.at, s.uid)
	return s, 0
}

// timerLoop wakes sagas when their time comes.
func (w *worker) timerLoop() {
	for pause := time.Duration(0); ; {
		select {
		case <-w.ctx.Done():
			return
		case <-time.After(pause):
		case <-w.timers.kick:
		}
		if w.isDraining() {
			pause = time.Second
			continue
		}
		claims := int(w.claims.Load())
		lanes := w.openLanes()
		if after, ok := w.timers.begin(lanes, claims); ok {
			page, err := w.e.store.Timers(w.ctx, lanes, after, timerPage)
			w.timers.fill(page, err)
			if err != nil {
				w.e.fail(w.ctx, err)
				pause = time.Second
				continue
			}
		}
		pause = w.fire()
	}
}

// fire wakes the sagas that are due and says how long the next one takes.
func (w *worker) fire() time.Duration {
	for {
		if !w.awaitRoom() {
			return 0
		}
		s, wait := w.timers.pop(w.now())
		if s == nil {
			return wait
		}
		if !w.deliver(s.uid, s.lane, event{kind: evWake}) && w.open(s.lane) {
			w.timers.again(s.uid, s.lane, w.now().Add(time.Second)) // its journal cannot be read just now
		}
	}
}

func compareTimers(a, b Timer) int {
	return cmp.Or(a.Due.Compare(b.Due), slices.Compare(a.Ref.UID[:], b.Ref.UID[:]))
}

func compareSleepers(a, b *sleeper) int {
	return cmp.Or(a.due.Compare(b.due), slices.Compare(a.uid[:], b.uid[:]))
}

// timerHeap implements heap.Interface, the earliest first.
type timerHeap []*sleeper

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return compareSleepers(h[i], h[j]) < 0 }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i, j
}

func (h *timerHeap) Push(x any) {
	s := x.(*sleeper)
	s.pos = len(*h)
	*h = append(*h, s)
}

func (h *timerHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
