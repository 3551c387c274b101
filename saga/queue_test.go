package saga_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/internal/sqlstore"
)

// gauge counts the sagas that are inside of their only step, for all nodes together.
type gauge struct {
	mu    sync.Mutex
	in    map[string]int // by key; "" counts all
	most  map[string]int
	order map[string][]saga.ID
	hold  chan struct{} // when set, steps end when they receive from it
	full  int           // when set, the first steps wait until so many are inside
}

func newGauge() *gauge {
	return &gauge{in: map[string]int{}, most: map[string]int{}, order: map[string][]saga.ID{}}
}

func (g *gauge) move(key string, by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range []string{"", "key " + key} {
		g.in[k] += by
		g.most[k] = max(g.most[k], g.in[k])
	}
}

func (g *gauge) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in[""]
}

// filled waits until as many as may be were inside at once, and then lets others a chance to come in, too.
func (g *gauge) filled(ctx context.Context) bool {
	for ctx.Err() == nil {
		g.mu.Lock()
		most := g.most[""]
		g.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
		if most >= g.full {
			return true
		}
	}
	return false
}

// job is the state of the queued sagas under test.
type job struct {
	Key  string
	Fail string
}

func (g *gauge) def() *saga.Def[job] {
	work := saga.Step("work", func(c saga.Ctx, j job) (saga.None, error) {
		g.move(j.Key, 1)
		defer g.move(j.Key, -1)
		g.mu.Lock()
		g.order[j.Key] = append(g.order[j.Key], c.SagaID())
		g.mu.Unlock()
		if g.full > 0 && !g.filled(c) {
			return saga.None{}, c.Err()
		}
		if g.hold != nil {
			select {
			case <-g.hold:
			case <-c.Done():
				return saga.None{}, c.Err()
			}
		}
		if j.Fail != "" {
			return saga.None{}, saga.Reject("%s", j.Fail)
		}
		return saga.None{}, nil
	}).Timeout(time.Minute).Retry(quick)
	return saga.Define("job", 1, work)
}

func TestQueueKeepsItsLimitsAcrossNodes(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		g := newGauge()
		def := g.def()
		const sagas, limit = 48, 3
		g.full = limit
		var engines []*saga.Engine
		var lines []*saga.Queue
		for n := range 2 {
			q := saga.NewQueue("jobs", saga.QueueConfig{Concurrency: limit})
			e, _ := engine(t, saga.Config{Node: fmt.Sprint("n", n), Queues: []*saga.Queue{q}}, store(), def)
			engines, lines = append(engines, e), append(lines, q)
		}
		runs := make([]*saga.Run[job], 0, sagas)
		for i := range sagas {
			key := []string{"a", "b", "c", "d"}[i%4]
			run, err := def.Start(within(t), engines[i%2], saga.ID(fmt.Sprintf("%s-%03d", key, i)), job{Key: key}, saga.In(lines[i%2]).Key(key))
			require.NoError(t, err)
			runs = append(runs, run)
		}
		for _, run := range runs {
			_, err := run.Result(within(t))
			require.NoError(t, err)
		}
		require.Equal(t, limit, g.most[""], "sagas of different keys run side by side, and no more than may")
		for _, key := range []string{"a", "b", "c", "d"} {
			require.Equal(t, 1, g.most["key "+key], "sagas of one key run one at a time")
			require.IsIncreasing(t, g.order[key], "in the order in which they were started")
			require.Len(t, g.order[key], sagas/4)
		}
		owners := 0
		for _, e := range engines {
			st, err := e.Queues(within(t))
			require.NoError(t, err)
			require.Len(t, st, 1)
			require.Zero(t, st[0].Waiting+st[0].Running, "nothing is left behind")
			if st[0].Owned {
				owners++
			}
		}
		require.Equal(t, 1, owners)
	})
}

func TestQueuedSagaIsVisibleAndCanBeEnded(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		g := newGauge()
		g.hold = make(chan struct{})
		def := g.def()
		q := saga.NewQueue("jobs", saga.QueueConfig{Concurrency: 1})
		admitted := make(chan saga.SagaEvent, 10)
		e, _ := engine(t, saga.Config{Queues: []*saga.Queue{q}, Hooks: saga.Hooks{
			Admitted: func(_ context.Context, e saga.SagaEvent) { admitted <- e },
		}}, store(), def)
		start := func(id saga.ID) *saga.Run[job] {
			run, err := def.Start(within(t), e, id, job{}, saga.In(q).Key("k"))
			require.NoError(t, err)
			return run
		}
		first := start("first")
		eventually(t, "the first begins", func() bool { return g.inside() == 1 })
		cancelled, terminated, last := start("cancelled"), start("terminated"), start("last")
		st, err := e.Status(within(t), "cancelled")
		require.NoError(t, err)
		require.Equal(t, saga.StateQueued, st.State)
		require.Equal(t, "jobs", st.Queue)
		lines, err := e.Queues(within(t))
		require.NoError(t, err)
		require.Equal(t, []int{3, 1}, []int{lines[0].Waiting, lines[0].Running})
		require.Positive(t, lines[0].Oldest)

		require.NoError(t, e.Cancel(within(t), "cancelled", "ann", "no longer wanted"))
		var compensated *saga.CompensatedError
		_, err = cancelled.Result(within(t))
		require.ErrorAs(t, err, &compensated)
		require.NoError(t, e.Terminate(within(t), "terminated", "ann", "no longer wanted"))
		_, err = terminated.Result(within(t))
		require.ErrorAs(t, err, new(*saga.TerminatedError))
		again := start("last")
		require.True(t, again.Existed)

		close(g.hold)
		for _, run := range []*saga.Run[job]{first, last} {
			_, err = run.Result(within(t))
			require.NoError(t, err)
			require.Equal(t, "jobs", (<-admitted).Queue)
		}
		require.Equal(t, []saga.ID{"first", "last"}, g.order[""], "what was ended before it began never ran")
		history, err := e.History(within(t), "last")
		require.NoError(t, err)
		require.Equal(t, []saga.RecordKind{saga.Started, saga.Admitted, saga.Done}, []saga.RecordKind{history[0].Kind, history[1].Kind, history[2].Kind})
	})
}

// A parked saga holds its place: the next one of its key does not begin before somebody ended it.
func TestParkedSagaHoldsItsPlace(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		stuck := saga.Retriable("hand-over", func(c saga.Ctx, j job) (saga.None, error) {
			l.add("%s", c.SagaID())
			if j.Fail != "" {
				return saga.None{}, fmt.Errorf("%s", j.Fail)
			}
			return saga.None{}, nil
		}).Retry(quick)
		def := saga.Define("job", 1, stuck)
		q := saga.NewQueue("jobs", saga.QueueConfig{})
		e, _ := engine(t, saga.Config{Queues: []*saga.Queue{q}}, store(), def)
		bad, err := def.Start(within(t), e, "bad", job{Fail: "no"}, saga.In(q).Key("k"))
		require.NoError(t, err)
		_, err = bad.Result(within(t))
		require.ErrorAs(t, err, new(*saga.ParkedError))
		next, err := def.Start(within(t), e, "next", job{}, saga.In(q).Key("k"))
		require.NoError(t, err)
		other, err := def.Start(within(t), e, "other", job{}, saga.In(q).Key("another"))
		require.NoError(t, err)
		_, err = other.Result(within(t))
		require.NoError(t, err)
		st, err := e.Status(within(t), "next")
		require.NoError(t, err)
		require.Equal(t, saga.StateQueued, st.State)
		require.NoError(t, e.Terminate(within(t), "bad", "ann", "mended by hand"))
		_, err = next.Result(within(t))
		require.NoError(t, err)
	})
}

// The node that owns the queue is cut off from the database: another one goes on with its counts.
func TestQueueSurvivesItsOwner(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		g := newGauge()
		g.hold = make(chan struct{})
		def := g.def()
		q := saga.NewQueue("jobs", saga.QueueConfig{Concurrency: 2})
		cut := &faultyDB{DB: store().DB()}
		one, _ := engine(t, saga.Config{Node: "one", TTL: 2 * time.Second, Grace: time.Millisecond, Queues: []*saga.Queue{q}}, sqlstore.New(cut), def)
		var runs []*saga.Run[job]
		for i := range 6 {
			run, err := def.Start(within(t), one, saga.ID(fmt.Sprint("j", i)), job{}, saga.In(q))
			require.NoError(t, err)
			runs = append(runs, run)
		}
		eventually(t, "two begin", func() bool { return g.inside() == 2 })
		two, _ := engine(t, saga.Config{Node: "two", TTL: 2 * time.Second, Queues: []*saga.Queue{q}}, store(), def)
		cut.away.Store(true) // its two attempts do not end by themselves
		eventually(t, "the other node takes the queue over", func() bool {
			st, err := two.Queues(t.Context())
			return err == nil && st[0].Owned
		})
		st, err := two.Queues(within(t))
		require.NoError(t, err)
		require.Equal(t, []int{4, 2}, []int{st[0].Waiting, st[0].Running}, "what the former owner let begin counts")
		close(g.hold)
		for _, run := range runs {
			run, err := def.Find(within(t), two, run.ID())
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.NoError(t, err)
		}
	})
}

func TestQueuesAreRefused(t *testing.T) {
	t.Parallel()
	def := newGauge().def()
	good := saga.NewQueue("jobs", saga.QueueConfig{Rate: saga.Per(7, time.Second), Concurrency: 1})
	require.NoError(t, good.Err())
	for name, q := range map[string]*saga.Queue{
		"name":        saga.NewQueue("", saga.QueueConfig{}),
		"@":           saga.NewQueue("a@1", saga.QueueConfig{}),
		"concurrency": saga.NewQueue("q", saga.QueueConfig{Concurrency: -1}),
		"rate of":     saga.NewQueue("q", saga.QueueConfig{Rate: saga.Per(0, time.Second)}),
		"1 ms":        saga.NewQueue("q", saga.QueueConfig{Rate: saga.Per(1, 0)}),
		"microsecond": saga.NewQueue("q", saga.QueueConfig{Rate: saga.Per(1001, time.Millisecond)}),
		"burst":       saga.NewQueue("q", saga.QueueConfig{Burst: 1}),
		"burst -1":    saga.NewQueue("q", saga.QueueConfig{Burst: -1, Rate: saga.Per(1, time.Second)}),
		"aging":       saga.NewQueue("q", saga.QueueConfig{Aging: -1}),
	} {
		_, err := saga.New(saga.Config{Queues: []*saga.Queue{q}}, noStore{}, def)
		require.ErrorContains(t, err, name)
	}
	_, err := saga.New(saga.Config{Queues: []*saga.Queue{good, good}}, noStore{}, def)
	require.ErrorContains(t, err, "twice")
	require.ErrorContains(t, err, "has no queues")
	_, err = saga.New(saga.Config{Queues: []*saga.Queue{nil}}, noStore{}, def)
	require.ErrorContains(t, err, "nil")

	e, err := saga.New(saga.Config{}, noStore{}, def)
	require.NoError(t, err)
	_, err = def.Start(t.Context(), e, "j", job{}, saga.In(good))
	require.ErrorIs(t, err, saga.ErrNotRegistered)
	_, err = def.StartTx(t.Context(), e, data.Tx(nil), "j", job{}, saga.In(nil))
	require.ErrorIs(t, err, saga.ErrNotRegistered)
}

// noStore is a store that is never used.
type noStore struct{ saga.Store }
