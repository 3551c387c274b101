package sagatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
)

// ExerciseStore runs the contract of [saga.Store] against a store. Open returns a store over a fresh database; called
// again in the same test it may return another store over the same one.
func ExerciseStore(t *testing.T, open func(t *testing.T) saga.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"register refuses another shape", (*fixture).registerRefusesAnotherShape},
		{"append and load", (*fixture).appendAndLoad},
		{"writing again is harmless", (*fixture).writingAgainIsHarmless},
		{"a record's number is taken once", (*fixture).aNumberIsTakenOnce},
		{"an id is taken once", (*fixture).anIDIsTakenOnce},
		{"a fenced node writes nothing", (*fixture).aFencedNodeWritesNothing},
		{"a beating node keeps its lanes", (*fixture).aBeatingNodeKeepsItsLanes},
		{"a node is judged by its own TTL", (*fixture).aNodeIsJudgedByItsOwnTTL},
		{"nodes share lanes fairly", (*fixture).nodesShareLanes},
		{"two nodes never own one lane", (*fixture).twoNodesNeverOwnOneLane},
		{"a step commits with its record", (*fixture).aStepCommitsWithItsRecord},
		{"sleep and wake", (*fixture).sleepAndWake},
		{"mail", (*fixture).mail},
		{"create in the caller's transaction", (*fixture).createInTx},
		{"the end forgets the small tables", (*fixture).theEndForgets},
		{"pages of recoverable sagas", (*fixture).pages},
		{"pages of mail and of timers", (*fixture).pagesOfWork},
		{"searches", (*fixture).searches},
		{"searches by id", (*fixture).searchesByID},
		{"facts and forks", (*fixture).factsAndForks},
		{"the end of a damaged journal", (*fixture).endOfADamagedJournal},
		{"many writers at once", (*fixture).manyWriters},
		{"what is old and ended is forgotten", (*fixture).forgetsTheOld},
		{"calls are heard", (*fixture).callsAreHeard},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(&fixture{T: t, store: open(t), kind: "order@1"})
		})
	}
}

func (f *fixture) registerRefusesAnotherShape() {
	f.register()
	f.register()
	err := f.store.Register(f.Context(), []saga.DefInfo{{Kind: f.kind, Fingerprint: "b"}})
	require.ErrorIs(f, err, saga.ErrShapeChanged)
	require.NoError(f, f.store.Register(f.Context(), []saga.DefInfo{{Kind: "order@2", Fingerprint: "b"}}))
}

func (f *fixture) appendAndLoad() {
	l, lanes := f.join("one")
	require.NotEmpty(f, lanes)
	w := f.newSaga("o1", lanes[0])
	w.Records[0].Meta = map[string]string{"correlation-id": "c"}
	second := saga.Record{
		Seq: 2, Kind: saga.Failed, Node: "päy\n\"x\"", Undo: true, Attempt: 3,
		At: time.UnixMicro(5).UTC(), Due: time.UnixMicro(6).UTC(), Reason: "no 'way'; --",
		Actor: "ann", Name: "sig", Dedupe: "k", Taken: true, Open: []string{"a", "b"},
	}
	require.Equal(f, []error{nil}, f.append(l, w))
	require.Equal(f, []error{nil}, f.append(l, f.then(w, second)))
	require.Equal(f, append(w.Records, second), f.records(w.Ref.UID))
	ref, err := f.store.Lookup(f.Context(), "o1")
	require.NoError(f, err)
	require.Equal(f, w.Ref, ref)
	_, err = f.store.Lookup(f.Context(), "o2")
	require.ErrorIs(f, err, saga.ErrNotFound)
	h, err := f.store.Load(f.Context(), []saga.UID{{1}})
	require.NoError(f, err)
	require.Empty(f, h)
	live, err := f.store.List(f.Context(), 10)
	require.NoError(f, err)
	require.Equal(f, []saga.Ref{w.Ref}, live)
}

func (f *fixture) writingAgainIsHarmless() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	for range 2 {
		require.Equal(f, []error{nil}, f.append(l, w))
	}
	next := f.then(w, done(2, "a"), done(3, "b"))
	for range 2 {
		require.Equal(f, []error{nil}, f.append(l, next))
	}
	require.Len(f, f.records(w.Ref.UID), 3)
}

func (f *fixture) aNumberIsTakenOnce() {
	l, lanes := f.join("one")
	w, other := f.newSaga("o1", lanes[0]), f.newSaga("o2", lanes[0])
	f.append(l, w, other)
	f.append(l, f.then(w, done(2, "a")))
	results := f.append(l, f.then(w, done(2, "b"), done(3, "c")), f.then(other, done(2, "a")))
	require.ErrorIs(f, results[0], saga.ErrStale)
	require.NoError(f, results[1], "a stale write takes no other with it")
	require.Len(f, f.records(w.Ref.UID), 2)
	require.Equal(f, "a", f.records(w.Ref.UID)[1].Node)
	require.Len(f, f.records(other.Ref.UID), 2)
}

func (f *fixture) anIDIsTakenOnce() {
	l, lanes := f.join("one")
	first, twin, other := f.newSaga("o1", lanes[0]), f.newSaga("o1", lanes[0]), f.newSaga("o2", lanes[0])
	require.Equal(f, []error{nil}, f.append(l, first))
	results := f.append(l, twin, other)
	require.ErrorIs(f, results[0], saga.ErrConflict)
	require.NoError(f, results[1])
	require.Empty(f, f.records(twin.Ref.UID))
	third, fourth := f.newSaga("o3", lanes[0]), f.newSaga("o3", lanes[0])
	results = f.append(l, third, fourth)
	require.NoError(f, results[0])
	require.ErrorIs(f, results[1], saga.ErrConflict, "also within one batch")
}

func (f *fixture) aFencedNodeWritesNothing() {
	one, lanes := f.joinFor("one", brief)
	w := f.newSaga("o1", lanes[0])
	f.append(one, w)
	two, err := f.store.Join(f.Context(), "two", []string{f.kind}, ttl)
	require.NoError(f, err)
	time.Sleep(brief + time.Millisecond) // the store's clock is outside of every bubble
	taken, _, err := f.store.Claim(f.Context(), two)
	require.NoError(f, err)
	require.ElementsMatch(f, ids(lanes), ids(taken))
	require.Greater(f, taken[0].Epoch, lanes[0].Epoch)

	_, err = f.store.Append(f.Context(), one, []saga.Write{f.then(w, done(2, "a"))})
	require.ErrorIs(f, err, saga.ErrFenced)
	err = f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
		return f.store.AppendTx(ctx, tx, one, f.then(w, done(2, "a")))
	})
	require.ErrorIs(f, err, saga.ErrFenced)
	_, err = f.store.Beat(f.Context(), one)
	require.ErrorIs(f, err, saga.ErrFenced)
	_, _, err = f.store.Claim(f.Context(), one)
	require.ErrorIs(f, err, saga.ErrFenced)
	require.Len(f, f.records(w.Ref.UID), 1)
	require.Equal(f, []error{nil}, f.append(two, f.then(w, done(2, "a"))))
}

func (f *fixture) aBeatingNodeKeepsItsLanes() {
	one, lanes := f.join("one")
	two, _ := f.join("two")
	for range 3 {
		before := time.Now()
		now, err := f.store.Beat(f.Context(), one)
		require.NoError(f, err)
		require.WithinDuration(f, before, now, time.Hour)
		taken, _, err := f.store.Claim(f.Context(), two)
		require.NoError(f, err)
		require.Empty(f, taken)
	}
	f.append(one, f.newSaga("o1", lanes[0]))
}

// A node that others would take for dead by their own measure keeps its work, and its own measure is what ends it.
func (f *fixture) aNodeIsJudgedByItsOwnTTL() {
	patient, lanes := f.join("patient")
	require.NotEmpty(f, lanes)
	hasty, none := f.joinFor("hasty", brief)
	require.Empty(f, none)
	time.Sleep(brief + time.Millisecond) // the store's clock is outside of every bubble
	none, _, err := f.store.Claim(f.Context(), hasty)
	require.NoError(f, err)
	require.Empty(f, none, "the patient one is not dead yet")
	require.Equal(f, []error{nil}, f.append(patient, f.newSaga("o1", lanes[0])))
	_, surplus, err := f.store.Claim(f.Context(), patient)
	require.NoError(f, err)
	require.Zero(f, surplus[f.kind], "the hasty one is dead and shares nothing")
	_, err = f.store.Beat(f.Context(), hasty)
	require.ErrorIs(f, err, saga.ErrFenced)
}

func (f *fixture) nodesShareLanes() {
	one, lanes := f.join("one")
	two, none := f.join("two")
	require.Empty(f, none)
	_, surplus, err := f.store.Claim(f.Context(), one)
	require.NoError(f, err)
	half := len(lanes) / 2
	require.Equal(f, map[string]int{f.kind: half}, surplus)
	require.NoError(f, f.store.Release(f.Context(), one, ids(lanes[:half])))
	got, _, err := f.store.Claim(f.Context(), two)
	require.NoError(f, err)
	require.ElementsMatch(f, ids(lanes[:half]), ids(got))
	require.NoError(f, f.store.Leave(f.Context(), two))
	got, _, err = f.store.Claim(f.Context(), one)
	require.NoError(f, err)
	require.ElementsMatch(f, ids(lanes), ids(got), "a claim tells all lanes of its node")
	_, err = f.store.Beat(f.Context(), two)
	require.ErrorIs(f, err, saga.ErrFenced)
}

func (f *fixture) twoNodesNeverOwnOneLane() {
	f.register()
	var mu sync.Mutex
	owners := map[int64]map[string]bool{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			l, err := f.store.Join(f.Context(), fmt.Sprint("n", n), []string{f.kind}, ttl)
			if err != nil {
				f.Error(err)
				return
			}
			for range 5 {
				lanes, _, err := f.store.Claim(f.Context(), l)
				if err != nil && !data.Retryable(err) {
					f.Error(err)
				}
				mu.Lock()
				for _, lane := range lanes {
					if owners[lane.ID] == nil {
						owners[lane.ID] = map[string]bool{}
					}
					owners[lane.ID][l.Node] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NotEmpty(f, owners)
	for id, nodes := range owners {
		require.Len(f, nodes, 1, "lane %d", id)
	}
}

func (f *fixture) aStepCommitsWithItsRecord() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	f.append(l, w)
	db := f.store.DB()
	_, err := db.Exec(f.Context(), `create table effect (n integer)`)
	require.NoError(f, err)
	boom := errors.New("boom")
	step := func(seq int64, end error) error {
		return db.InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
			if _, err := tx.Exec(ctx, `insert into effect (n) values (1)`); err != nil {
				return err
			}
			if err := f.store.AppendTx(ctx, tx, l, f.then(w, done(seq, "a"))); err != nil {
				return err
			}
			return end
		})
	}
	count := func() (n int) {
		require.NoError(f, db.QueryRow(f.Context(), `select count(*) from effect`).Scan(&n))
		return n
	}
	require.ErrorIs(f, step(2, boom), boom)
	require.Zero(f, count())
	require.Len(f, f.records(w.Ref.UID), 1)
	require.NoError(f, step(2, nil))
	require.Equal(f, 1, count())
	require.ErrorIs(f, step(2, nil), saga.ErrStale, "the number is taken, so the effect is not repeated")
	require.Equal(f, 1, count())
}

func (f *fixture) sleepAndWake() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	f.append(l, w)
	recoverable := func() int {
		refs, err := f.store.Recoverable(f.Context(), ids(lanes), saga.UID{}, 10)
		require.NoError(f, err)
		return len(refs)
	}
	due := func() []saga.Timer {
		timers, err := f.store.Timers(f.Context(), ids(lanes), saga.Timer{}, 10)
		require.NoError(f, err)
		return timers
	}
	asleep := func() saga.Asleep {
		counts, err := f.store.Asleep(f.Context(), ids(lanes))
		require.NoError(f, err)
		return counts[w.Ref.Lane]
	}
	require.Equal(f, 1, recoverable())
	require.Zero(f, asleep())
	sleep := f.then(w)
	sleep.Sleep = saga.Forever
	f.append(l, sleep)
	require.Zero(f, recoverable())
	require.Empty(f, due(), "for ever")
	require.Equal(f, saga.Asleep{Parked: 1}, asleep())
	sleep.Sleep = time.Now().Add(time.Hour)
	f.append(l, sleep)
	require.Len(f, due(), 1, "not due yet, and told")
	sleep.Sleep = time.Now().Add(-time.Second)
	f.append(l, sleep)
	require.Equal(f, []saga.Timer{{Ref: w.Ref, Due: sleep.Sleep.Truncate(time.Microsecond).UTC()}}, due())
	require.Equal(f, saga.Asleep{Waiting: 1}, asleep())
	wake := f.then(w, done(2, "a"))
	wake.Wake = true
	f.append(l, wake)
	require.Empty(f, due())
	require.Zero(f, asleep())
	require.Equal(f, 1, recoverable())
}

func (f *fixture) mail() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	f.append(l, w)
	m := saga.Mail{
		Saga: w.Ref.UID, Kind: saga.MailSignal, Name: "go", Dedupe: "k", Payload: []byte(`{"x":1}`), Rejected: true, Actor: "ann", Reason: "why",
	}
	for range 2 {
		require.NoError(f, f.store.Post(f.Context(), f.store.DB(), m))
	}
	plain := saga.Mail{Saga: w.Ref.UID, Kind: saga.MailSignal, Name: "go"}
	for range 2 {
		require.NoError(f, f.store.Post(f.Context(), f.store.DB(), plain))
	}
	got, err := f.store.Mail(f.Context(), ids(lanes), 0, 10)
	require.NoError(f, err)
	require.Len(f, got, 3, "one with a key, two without")
	require.WithinDuration(f, time.Now(), got[0].At, time.Hour)
	m.ID, m.Lane, m.At = got[0].ID, w.Ref.Lane, got[0].At
	require.Equal(f, m, got[0])
	taken := f.then(w, done(2, "a"))
	taken.MailDone = []int64{got[0].ID}
	f.append(l, taken)
	require.NoError(f, f.store.DropMail(f.Context(), []int64{got[1].ID}))
	got, err = f.store.Mail(f.Context(), ids(lanes), 0, 10)
	require.NoError(f, err)
	require.Len(f, got, 1)
	own, err := f.store.MailOf(f.Context(), w.Ref.UID)
	require.NoError(f, err)
	require.Equal(f, got, own)
	none, err := f.store.MailOf(f.Context(), saga.UID{9})
	require.NoError(f, err)
	require.Empty(f, none)
	m.Saga = saga.UID{9}
	require.ErrorIs(f, f.store.Post(f.Context(), f.store.DB(), m), saga.ErrFinished)
}

func (f *fixture) createInTx() {
	_, lanes := f.join("one")
	w := f.newSaga("o1", saga.Lane{Kind: f.kind})
	boom := errors.New("boom")
	create := func(end error) error {
		return f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
			if err := f.store.Create(ctx, tx, w); err != nil {
				return err
			}
			return end
		})
	}
	require.ErrorIs(f, create(boom), boom)
	require.Empty(f, f.records(w.Ref.UID))
	require.NoError(f, create(nil))
	require.Len(f, f.records(w.Ref.UID), 1)
	got, err := f.store.Mail(f.Context(), ids(lanes), 0, 10)
	require.NoError(f, err)
	require.Len(f, got, 1)
	require.Equal(f, saga.MailStart, got[0].Kind)
	w.Ref.UID = saga.UID(uuidv7.New())
	require.ErrorIs(f, create(nil), saga.ErrConflict)
	w.Ref.Kind = "nobody@1"
	w.Ref.ID = "o2"
	require.ErrorIs(f, create(nil), saga.ErrNotRegistered)
}

func (f *fixture) theEndForgets() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	f.append(l, w)
	require.NoError(f, f.store.Post(f.Context(), f.store.DB(), saga.Mail{Saga: w.Ref.UID, Kind: saga.MailSignal, Name: "late"}))
	sleep := f.then(w)
	sleep.Sleep = time.Now().Add(-time.Second)
	f.append(l, sleep)
	last := done(2, "a")
	last.End = saga.Completed
	end := f.then(w, last)
	end.End, end.Wake = true, true
	f.append(l, end)
	live, err := f.store.List(f.Context(), 10)
	require.NoError(f, err)
	require.Empty(f, live)
	mail, err := f.store.Mail(f.Context(), ids(lanes), 0, 10)
	require.NoError(f, err)
	require.Len(f, mail, 1, "the engine learns what came too late")
	require.ErrorIs(f, f.store.Post(f.Context(), f.store.DB(), saga.Mail{Saga: w.Ref.UID, Kind: saga.MailCancel}), saga.ErrFinished)
	timers, err := f.store.Timers(f.Context(), ids(lanes), saga.Timer{}, 10)
	require.NoError(f, err)
	require.Empty(f, timers)
	ref, err := f.store.Lookup(f.Context(), "o1")
	require.NoError(f, err)
	require.Equal(f, saga.Completed, f.records(ref.UID)[1].End)
}

func (f *fixture) pages() {
	l, lanes := f.join("one")
	want := map[saga.UID]bool{}
	for i := range 25 {
		w := f.newSaga(fmt.Sprint("o", i), lanes[i%len(lanes)])
		want[w.Ref.UID] = true
		f.append(l, w)
	}
	var after saga.UID
	for {
		refs, err := f.store.Recoverable(f.Context(), ids(lanes), after, 7)
		require.NoError(f, err)
		if len(refs) == 0 {
			break
		}
		for _, r := range refs {
			require.True(f, want[r.UID], "each once")
			delete(want, r.UID)
		}
		after = refs[len(refs)-1].UID
	}
	require.Empty(f, want)
}

func (f *fixture) pagesOfWork() {
	l, lanes := f.join("one")
	const sagas = 25
	due := time.UnixMicro(1_700_000_000_000_000).UTC()
	for i := range sagas {
		w := f.newSaga(fmt.Sprint("o", i), lanes[i%len(lanes)])
		f.append(l, w)
		w = f.then(w)
		w.Sleep = due.Add(time.Duration(i%3) * time.Second) // many at the same time
		f.append(l, w)
		require.NoError(f, f.store.Post(f.Context(), f.store.DB(), saga.Mail{Saga: w.Ref.UID, Kind: saga.MailSignal, Name: "go"}))
	}
	letters := map[saga.UID]bool{}
	for after := int64(0); ; {
		mail, err := f.store.Mail(f.Context(), ids(lanes), after, 4)
		require.NoError(f, err)
		if len(mail) == 0 {
			break
		}
		for _, m := range mail {
			require.Greater(f, m.ID, after)
			after = m.ID
			letters[m.Saga] = true
		}
	}
	require.Len(f, letters, sagas)
	woken := map[saga.UID]bool{}
	for after := (saga.Timer{}); ; {
		timers, err := f.store.Timers(f.Context(), ids(lanes), after, 4)
		require.NoError(f, err)
		if len(timers) == 0 {
			break
		}
		for _, t := range timers {
			require.False(f, woken[t.Ref.UID], "each once")
			require.False(f, t.Due.Before(after.Due))
			after, woken[t.Ref.UID] = t, true
		}
	}
	require.Len(f, woken, sagas)
}

func (f *fixture) manyWriters() {
	l, lanes := f.join("one")
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 10 {
				w := f.newSaga(fmt.Sprint(n, "-", i), lanes[n%len(lanes)])
				next := f.then(w, done(2, "a"))
				for _, batch := range [][]saga.Write{{w}, {next}} {
					if results, err := f.store.Append(f.Context(), l, batch); err != nil || results[0] != nil {
						f.Error(err, results)
					}
				}
			}
		})
	}
	wg.Wait()
	live, err := f.store.List(f.Context(), 1000)
	require.NoError(f, err)
	require.Len(f, live, 80)
}
