package sagatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// ExerciseQueues runs the contract of [saga.QueueStore] against a store that has queues. Open is as for [ExerciseStore].
func ExerciseQueues(t *testing.T, open func(t *testing.T) saga.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*queueFixture)
	}{
		{"a queued saga waits and is admitted once", (*queueFixture).admittedOnce},
		{"no more run than the limit", (*queueFixture).concurrency},
		{"one at a time per key", (*queueFixture).keys},
		{"a long line behind one key slows nobody", (*queueFixture).longLine},
		{"the rate is durable", (*queueFixture).rate},
		{"other limits hold from the next call", (*queueFixture).otherLimits},
		{"another node takes the queue over", (*queueFixture).takeOver},
		{"a queued saga ends before it began", (*queueFixture).endsWaiting},
		{"queued in the caller's transaction", (*queueFixture).createInTx},
		{"queues do not touch each other", (*queueFixture).apart},
		{"admission follows the model", (*queueFixture).model},
		{"many nodes end sagas while the owner admits", (*queueFixture).concurrentEnds},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &queueFixture{fixture: fixture{T: t, store: open(t), kind: "order@1"}}
			queues, ok := f.store.(saga.QueueStore)
			require.True(t, ok, "the store has no queues")
			f.queues = queues
			c.test(f)
		})
	}
}

type queueFixture struct {
	fixture
	queues saga.QueueStore

	lease saga.Lease
	lanes []saga.Lane // of the sagas
	lane  saga.Lane   // of the queue
	n     int
}

const queueName = "line"

func (f *queueFixture) start(name string, ttl time.Duration) {
	f.Helper()
	kind := "queue/" + queueName
	require.NoError(f, f.store.Register(f.Context(), []saga.DefInfo{
		{Kind: f.kind, Fingerprint: "a"}, {Kind: kind, Fingerprint: "queue", Lanes: 1},
	}))
	lease, err := f.store.Join(f.Context(), name, []string{f.kind, kind}, ttl)
	require.NoError(f, err)
	f.lease = lease
	f.claim()
}

func (f *queueFixture) claim() {
	f.Helper()
	owned, _, err := f.store.Claim(f.Context(), f.lease)
	require.NoError(f, err)
	f.lanes, f.lane = nil, saga.Lane{}
	for _, l := range owned {
		if l.Kind == f.kind {
			f.lanes = append(f.lanes, l)
			continue
		}
		require.Zero(f, f.lane, "a queue has one lane")
		f.lane = l
	}
}

// enqueue starts a saga into the queue.
func (f *queueFixture) enqueue(key string, headStart time.Duration) saga.Write {
	f.Helper()
	w := f.queued(key, headStart)
	require.Equal(f, []error{nil}, f.append(f.lease, w))
	return w
}

func (f *queueFixture) queued(key string, headStart time.Duration) saga.Write {
	f.n++
	w := f.newSaga(fmt.Sprintf("%s-%d", key, f.n), f.lanes[f.n%len(f.lanes)])
	w.Sleep, w.Ticket = saga.Forever.Add(-time.Hour), &saga.Ticket{Queue: queueName, Key: key, HeadStart: headStart}
	return w
}

func (f *queueFixture) admit(limits saga.QueueLimits) saga.Admission {
	f.Helper()
	limits.Queue = queueName
	done, err := f.queues.Admit(f.Context(), f.lease, f.lane, limits)
	require.NoError(f, err)
	return done
}

// admitted takes the admissions that have been posted since it was last asked, in order.
func (f *queueFixture) admitted() []saga.UID {
	f.Helper()
	mail, err := f.store.Mail(f.Context(), ids(f.lanes), 0, 10_000)
	require.NoError(f, err)
	var uids []saga.UID
	var done []int64
	for _, m := range mail {
		if done = append(done, m.ID); m.Kind != saga.MailStart {
			require.Equal(f, saga.MailAdmit, m.Kind)
			uids = append(uids, m.Saga)
		}
	}
	if len(done) > 0 {
		require.NoError(f, f.store.DropMail(f.Context(), done))
	}
	return uids
}

func (f *queueFixture) end(ws ...saga.Write) {
	f.Helper()
	batch := make([]saga.Write, 0, len(ws))
	for _, w := range ws {
		batch = append(batch, f.ended(w))
	}
	for _, err := range f.append(f.lease, batch...) {
		require.NoError(f, err)
	}
}

func (f *queueFixture) ended(w saga.Write) saga.Write {
	last := done(2, "a")
	last.End = saga.Completed
	end := f.then(w, last)
	end.Sleep, end.Ticket = time.Time{}, nil
	end.End, end.Wake, end.Leave = true, true, true
	return end
}

func (f *queueFixture) stats() (waiting, running int) {
	f.Helper()
	stats, err := f.queues.QueueStats(f.Context(), []string{queueName})
	require.NoError(f, err)
	if len(stats) == 0 {
		return 0, 0
	}
	require.Equal(f, queueName, stats[0].Queue)
	require.Equal(f, stats[0].Waiting > 0, stats[0].Oldest > 0)
	return stats[0].Waiting, stats[0].Running
}

func (f *queueFixture) requireStats(waiting, running int) {
	f.Helper()
	w, r := f.stats()
	require.Equal(f, []int{waiting, running}, []int{w, r}, "waiting and running")
}

func uidsOf(ws ...saga.Write) []saga.UID {
	out := make([]saga.UID, 0, len(ws))
	for _, w := range ws {
		out = append(out, w.Ref.UID)
	}
	return out
}

func (f *queueFixture) admittedOnce() {
	f.start("one", ttl)
	w := f.enqueue("", 0)
	refs, err := f.store.Recoverable(f.Context(), ids(f.lanes), saga.UID{}, 10)
	require.NoError(f, err)
	require.Empty(f, refs, "it sleeps, so that a take-over need not load the whole line")
	f.requireStats(1, 0)
	require.Equal(f, saga.Admission{Admitted: 1}, f.admit(saga.QueueLimits{}))
	require.Equal(f, saga.Admission{}, f.admit(saga.QueueLimits{}))
	require.Equal(f, uidsOf(w), f.admitted())
	f.requireStats(0, 1)
	f.end(w)
	f.requireStats(0, 0)
	results := f.append(f.lease, w)
	require.NoError(f, results[0])
	f.requireStats(0, 0) // the first write again, whose reply was lost: the saga has ended since
}

func (f *queueFixture) concurrency() {
	f.start("one", ttl)
	two := saga.QueueLimits{Concurrency: 2}
	a, b, c, d := f.enqueue("", 0), f.enqueue("", 0), f.enqueue("", 0), f.enqueue("", time.Hour)
	require.Equal(f, 2, f.admit(two).Admitted)
	require.Equal(f, uidsOf(d, a), f.admitted(), "a head start counts, then who came first")
	require.Zero(f, f.admit(two).Admitted)
	f.end(a)
	require.Equal(f, 1, f.admit(two).Admitted)
	require.Equal(f, uidsOf(b), f.admitted())
	f.end(b, d)
	require.Equal(f, 1, f.admit(two).Admitted)
	require.Equal(f, uidsOf(c), f.admitted())
}

func (f *queueFixture) keys() {
	f.start("one", ttl)
	a1, a2, b1, a3, free := f.enqueue("a", 0), f.enqueue("a", 0), f.enqueue("b", 0), f.enqueue("a", time.Hour), f.enqueue("", 0)
	f.admit(saga.QueueLimits{})
	require.Equal(f, uidsOf(a3, b1, free), f.admitted())
	f.admit(saga.QueueLimits{})
	require.Empty(f, f.admitted())
	f.end(b1)
	f.admit(saga.QueueLimits{})
	require.Empty(f, f.admitted())
	f.end(a3)
	f.admit(saga.QueueLimits{})
	require.Equal(f, uidsOf(a1), f.admitted())
	f.end(a2) // cancelled while it stands aside
	f.end(a1)
	require.Zero(f, f.admit(saga.QueueLimits{}).Admitted)
	last := f.enqueue("a", 0)
	f.admit(saga.QueueLimits{})
	require.Equal(f, uidsOf(last), f.admitted())
}

func (f *queueFixture) longLine() {
	f.start("one", ttl)
	const line = 3000
	batch := make([]saga.Write, 0, line)
	for range line {
		batch = append(batch, f.queued("busy", 0))
	}
	for _, err := range f.append(f.lease, batch...) {
		require.NoError(f, err)
	}
	other := f.enqueue("", 0)
	one := saga.QueueLimits{Concurrency: 2}
	var got []saga.UID
	for range 10 {
		more := f.admit(one).More
		got = append(got, f.admitted()...)
		if !more {
			break
		}
	}
	require.Equal(f, uidsOf(batch[0], other), got)
	f.requireStats(line-1, 2)
	for i := range 3 {
		f.end(batch[i])
		f.admit(one)
		require.Equal(f, uidsOf(batch[i+1]), f.admitted())
	}
}

func (f *queueFixture) rate() {
	f.start("one", ttl)
	for range 10 {
		f.enqueue("", 0)
	}
	slow := saga.QueueLimits{Interval: time.Hour, Burst: 3}
	got := f.admit(slow)
	require.Equal(f, 3, got.Admitted)
	require.InDelta(f, time.Hour, got.Next, float64(time.Minute))
	require.NoError(f, f.store.Leave(f.Context(), f.lease))
	f.start("two", ttl)
	got = f.admit(slow)
	require.Zero(f, got.Admitted, "a new owner gives no second burst")
	require.InDelta(f, time.Hour, got.Next, float64(time.Minute))
	got = f.admit(saga.QueueLimits{Interval: 20 * time.Millisecond, Burst: 2})
	require.Zero(f, got.Admitted, "a faster rate waits no longer than its own burst, and gives none away")
	require.LessOrEqual(f, got.Next, 20*time.Millisecond)
	require.Eventually(f, func() bool { return f.admit(saga.QueueLimits{Interval: 20 * time.Millisecond, Burst: 2}).Admitted > 0 },
		time.Minute, 5*time.Millisecond)
}

func (f *queueFixture) otherLimits() {
	f.start("one", ttl)
	ws := []saga.Write{f.enqueue("", 0), f.enqueue("", 0), f.enqueue("", 0), f.enqueue("", 0)}
	require.Equal(f, 3, f.admit(saga.QueueLimits{Concurrency: 3}).Admitted)
	f.end(ws[0])
	require.Zero(f, f.admit(saga.QueueLimits{Concurrency: 2}).Admitted, "a lower limit stops nobody and admits nobody")
	require.Equal(f, 1, f.admit(saga.QueueLimits{Concurrency: 3}).Admitted)
}

func (f *queueFixture) takeOver() {
	f.start("one", brief)
	two := saga.QueueLimits{Queue: queueName, Concurrency: 2}
	ws := []saga.Write{f.enqueue("", 0), f.enqueue("", 0), f.enqueue("", 0)}
	require.Equal(f, 2, f.admit(two).Admitted)
	zombie, lane := f.lease, f.lane
	time.Sleep(brief + time.Millisecond) // the store's clock is outside of every bubble
	f.start("two", ttl)
	require.Equal(f, lane.ID, f.lane.ID)
	require.Greater(f, f.lane.Epoch, lane.Epoch)
	require.Zero(f, f.admit(two).Admitted, "what the former owner admitted counts")
	f.end(ws[0])
	_, err := f.queues.Admit(f.Context(), zombie, lane, two)
	require.ErrorIs(f, err, saga.ErrFenced)
	_, err = f.queues.Admit(f.Context(), f.lease, lane, two)
	require.ErrorIs(f, err, saga.ErrFenced, "a lane of a former epoch")
	f.requireStats(1, 1)
	require.Equal(f, 1, f.admit(two).Admitted)
}

func (f *queueFixture) endsWaiting() {
	f.start("one", ttl)
	gone, next := f.enqueue("a", 0), f.enqueue("a", 0)
	f.end(gone)
	require.Equal(f, 1, f.admit(saga.QueueLimits{Concurrency: 1}).Admitted)
	require.Equal(f, uidsOf(next), f.admitted())
}

func (f *queueFixture) createInTx() {
	f.start("one", ttl)
	w := f.queued("k", 0)
	w.Ref.Lane = 0
	boom := errors.New("boom")
	for _, want := range []error{boom, nil, nil} { // the last one: again, because the reply was lost
		err := f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
			if err := f.store.Create(ctx, tx, w); err != nil {
				return err
			}
			return want
		})
		require.ErrorIs(f, err, want)
	}
	f.requireStats(1, 0)
	require.Empty(f, f.admitted())
	f.admit(saga.QueueLimits{})
	require.Equal(f, uidsOf(w), f.admitted())
	refs, err := f.store.Recoverable(f.Context(), ids(f.lanes), saga.UID{}, 10)
	require.NoError(f, err)
	require.Empty(f, refs, "it is asleep until its owner takes the mail")
}

func (f *queueFixture) apart() {
	f.start("one", ttl)
	w, other := f.queued("k", 0), f.queued("k", 0)
	other.Ticket.Queue = "other"
	require.Equal(f, []error{nil, nil}, f.append(f.lease, w, other))
	f.admit(saga.QueueLimits{Concurrency: 1})
	require.Equal(f, uidsOf(w), f.admitted())
	stats, err := f.queues.QueueStats(f.Context(), []string{queueName, "other", "none"})
	require.NoError(f, err)
	require.Len(f, stats, 2)
	f.end(w)
	f.requireStats(0, 0)
	stats, err = f.queues.QueueStats(f.Context(), []string{"other"})
	require.NoError(f, err)
	require.Equal(f, 1, stats[0].Waiting)
}

// The model: a list in order of rank and arrival, from which a scan takes what the limit and the keys allow.
func (f *queueFixture) model() {
	f.start("one", ttl)
	rapid.Check(f.T, func(t *rapid.T) {
		type item struct {
			w     saga.Write
			key   string
			level int
		}
		var waiting, running []item
		limit := rapid.IntRange(0, 4).Draw(t, "limit")
		finish := func(list *[]item, i int) {
			f.end((*list)[i].w)
			*list = append((*list)[:i:i], (*list)[i+1:]...)
		}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0 && len(running) > 0:
				finish(&running, rapid.IntRange(0, len(running)-1).Draw(t, "ends"))
			case op == 1 && len(waiting) > 0:
				finish(&waiting, rapid.IntRange(0, len(waiting)-1).Draw(t, "cancelled"))
			default:
				it := item{key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key"), level: rapid.IntRange(-1, 1).Draw(t, "level")}
				it.w = f.enqueue(it.key, time.Duration(it.level)*time.Hour)
				at := len(waiting)
				for at > 0 && waiting[at-1].level < it.level {
					at--
				}
				waiting = append(waiting[:at:at], append([]item{it}, waiting[at:]...)...)
			}
			if rapid.Bool().Draw(t, "admit") {
				busy := map[string]bool{}
				for _, r := range running {
					busy[r.key] = true
				}
				var want []saga.UID
				var rest []item
				for _, it := range waiting {
					if (limit > 0 && len(running) >= limit) || (it.key != "" && busy[it.key]) {
						rest = append(rest, it)
						continue
					}
					busy[it.key] = true
					running, want = append(running, it), append(want, it.w.Ref.UID)
				}
				waiting = rest
				if got := f.admit(saga.QueueLimits{Concurrency: limit}); got.More {
					t.Fatalf("more of a short line")
				}
				require.Equal(t, want, f.admitted())
			}
		}
		var left []saga.Write
		for _, it := range append(running, waiting...) {
			left = append(left, it.w)
		}
		f.end(left...)
	})
}

// Sagas end on several connections while the owner admits: each is admitted once, no key runs twice, nothing is forgotten.
func (f *queueFixture) concurrentEnds() {
	f.start("one", ttl)
	const sagas, ends, limit = 120, 4, 5
	key := map[saga.UID]string{}
	writes := map[saga.UID]saga.Write{}
	for i := range sagas {
		k := []string{"a", "b", "c", ""}[i%4]
		w := f.enqueue(k, 0)
		key[w.Ref.UID], writes[w.Ref.UID] = k, w
	}
	var mu sync.Mutex
	running, order := map[string]int{}, 0
	begun := make(chan saga.UID, sagas)
	finished := make(chan struct{}, sagas)
	var wg sync.WaitGroup
	for range ends {
		wg.Go(func() {
			for uid := range begun {
				mu.Lock()
				running[key[uid]]--
				running["all"]--
				mu.Unlock()
				if results, err := f.store.Append(f.Context(), f.lease, []saga.Write{f.ended(writes[uid])}); err != nil || results[0] != nil {
					f.Error(err, results)
				}
				finished <- struct{}{}
			}
		})
	}
	deadline := time.Now().Add(time.Minute)
	for order < sagas && !f.Failed() && time.Now().Before(deadline) {
		got := f.admit(saga.QueueLimits{Concurrency: limit})
		for _, uid := range f.admitted() {
			mu.Lock()
			k := key[uid]
			running[k]++
			running["all"]++
			if k != "" && running[k] > 1 || running["all"] > limit {
				f.Errorf("too many at once: %v", running)
			}
			mu.Unlock()
			order++
			begun <- uid
		}
		if got.Admitted == 0 && order < sagas {
			select {
			case <-finished:
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	close(begun)
	wg.Wait()
	require.Equal(f, sagas, order, "every saga is admitted once")
	f.requireStats(0, 0)
}
