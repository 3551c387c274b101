package saga_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// process is what one process has: a pool and a store of its own.
func process(t *testing.T, dsn string) (data.DB, saga.Store) {
	t.Helper()
	db, err := datapg.Open(t.Context(), datapg.Config{DSN: dsn})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	return db, store
}

// Nobody polls here: what one process leaves for another is found because it is told, also after the connection on which
// it is told was lost.
func TestOtherProcessesAreTold(t *testing.T) {
	t.Parallel()
	dsn := datatest.PostgresDSN(t)
	answer := saga.NewSignal[int]("answer")
	var turned atomic.Int32
	def := saga.Define("ask", 1,
		saga.Step("ask", func(saga.Ctx, int) (int, error) { turned.Add(1); return 1, nil }),
		saga.Await(answer, func(*int, int) error { return nil }).Within(time.Hour))
	cfg := saga.Config{Poll: time.Hour, TTL: 2 * time.Second}
	db, store := process(t, dsn)
	one, _ := engine(t, cfg, store, def)
	_, store = process(t, dsn)
	two, _ := engine(t, cfg, store, def)
	_, store = process(t, dsn)
	client, err := saga.New(cfg, store, def)
	require.NoError(t, err)
	shared := func() bool {
		var owners int
		require.NoError(t, db.QueryRow(t.Context(), `select count(distinct node) from saga_lane where kind = 'ask@1'`).Scan(&owners))
		return owners == 2 && one.Running() && two.Running()
	}
	require.Eventually(t, shared, 15*time.Second, 20*time.Millisecond, "both have lanes")
	listeners := func() (n int) {
		require.NoError(t, db.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'`).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return listeners() == 2 }, 10*time.Second, 10*time.Millisecond)

	round := func(name string) {
		turned.Store(0)
		const sagas = 24 // in either node's lanes
		var toEnd []time.Duration
		for n := range sagas {
			id := saga.ID(fmt.Sprint(name, n))
			_, err := def.Start(within(t), client, id, n)
			require.NoError(t, err)
			run, err := def.Find(within(t), one, id)
			require.NoError(t, err)
			require.NoError(t, answer.Send(within(t), client, id, n))
			began := time.Now()
			_, err = run.Result(within(t))
			require.NoError(t, err)
			toEnd = append(toEnd, time.Since(began))
		}
		slices.Sort(toEnd)
		t.Logf("%s: from a signal of another process to the result in a third: median %s, worst %s", name, toEnd[sagas/2], toEnd[sagas-1])
	}
	round("told")

	_, err = db.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen %'`)
	require.NoError(t, err)
	for n := range 8 { // while nobody listens, or just again
		_, err := def.Start(within(t), client, saga.ID(fmt.Sprint("deaf", n)), n)
		require.NoError(t, err)
		require.NoError(t, answer.Send(within(t), client, saga.ID(fmt.Sprint("deaf", n)), n))
	}
	for n := range 8 {
		run, err := def.Find(within(t), two, saga.ID(fmt.Sprint("deaf", n)))
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
	}
	round("told again")
}

// deafStore is a store behind a pooler that swallows what others tell.
type deafStore struct{ saga.Store }

func (deafStore) Call(context.Context, string) error { return nil }

func (deafStore) Listen(ctx context.Context, ready func(), _ func(string)) error {
	ready()
	<-ctx.Done()
	return ctx.Err()
}

// A node that hears nothing looks as often as one that cannot listen.
func TestDeafNodesPoll(t *testing.T) {
	t.Parallel()
	store := deafStore{sqliteStore(t)}
	def := saga.Define("trip", 1, step("a", nothing))
	engine(t, saga.Config{Poll: 20 * time.Millisecond}, store, def)
	client, err := saga.New(saga.Config{}, store, def)
	require.NoError(t, err)
	for n := range 5 {
		run, err := def.Start(within(t), client, saga.ID(fmt.Sprint(n)), trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
	}
}

// Nobody polls for timers: what is due first is in memory, and the log tells how late it fires. LIVE-7.
func TestTimersAreOnTime(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		type nap struct{ Millis int }
		woke := make(chan int, 50)
		def := saga.Define("nap", 1,
			saga.Sleep("nap", func(n nap) time.Duration { return time.Duration(n.Millis) * time.Millisecond }),
			saga.Step("rise", func(_ saga.Ctx, n nap) (int, error) { woke <- n.Millis; return 0, nil }))
		e, _ := engine(t, saga.Config{Poll: time.Hour}, store(), def)
		require.Eventually(t, e.Running, 10*time.Second, time.Millisecond)
		began := map[int]time.Time{}
		for n := range cap(woke) {
			millis := 5100 + 10*((n*37)%cap(woke)) // longer than a saga that waits stays in memory
			began[millis] = time.Now()
			_, err := def.Start(within(t), e, saga.ID(fmt.Sprint(millis)), nap{millis})
			require.NoError(t, err)
		}
		var late []time.Duration
		for range cap(woke) {
			select {
			case millis := <-woke:
				late = append(late, time.Since(began[millis])-time.Duration(millis)*time.Millisecond)
			case <-within(t).Done():
				t.Fatal("somebody sleeps on")
			}
		}
		slices.Sort(late)
		require.GreaterOrEqual(t, late[0], -50*time.Millisecond, "never before its time, but for the precision of clocks")
		t.Logf("lateness, from before the start: median %s, worst %s", late[len(late)/2], late[len(late)-1])
	})
}
