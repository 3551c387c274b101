package saga_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

var goAhead = saga.NewSignal[string]("go-ahead")

func tripVersion(version int, nodes ...saga.Node[trip]) *saga.Def[trip] {
	wait := saga.Await(goAhead, func(t *trip, where string) error { t.Name = where; return nil }).Within(24 * time.Hour)
	return saga.Define("trip", version, append([]saga.Node[trip]{wait}, nodes...)...)
}

// node runs an engine until stop is called.
func node(t *testing.T, store saga.Store, hooks saga.Hooks, defs ...saga.Definition) (e *saga.Engine, stop func()) {
	e, err := saga.New(saga.Config{Hooks: hooks}, store, defs...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- e.Run(ctx) }()
	return e, sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ran)
	})
}

// Sagas of a version that nobody runs any more are parked after a grace, visibly, and go on when somebody runs it again. SAFE-22.
func TestStraysParkAndComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := sagatest.NewStore(nil)
		v1, v2 := tripVersion(1), tripVersion(2, stop(&log{}, "extra"))
		old, stopOld := node(t, store, saga.Hooks{}, v1)
		run, err := v1.Start(t.Context(), old, "t1", trip{})
		require.NoError(t, err)
		stopOld()

		strayed := make(chan saga.NodeEvent, 10)
		_, stopNew := node(t, store, saga.Hooks{Strayed: func(_ context.Context, e saga.NodeEvent) { strayed <- e }}, v2)
		defer stopNew()
		parked := func() []saga.Found {
			found, err := store.Search(t.Context(), saga.SearchQuery{From: saga.FromState, State: saga.StateParked, Limit: 10})
			require.NoError(t, err)
			return found
		}
		time.Sleep(9 * time.Minute)
		require.Empty(t, parked(), "a deploy takes its time")
		require.Equal(t, saga.NodeEvent{Saga: "trip", Version: 1, Sagas: 1}, <-strayed)
		require.Len(t, parked(), 1)
		require.Contains(t, parked()[0].Standing.Reason, "no process has run trip@1 for 10m0s")

		back, stopBack := node(t, store, saga.Hooks{}, v1)
		defer stopBack()
		time.Sleep(2 * time.Minute)
		require.Empty(t, parked())
		require.NoError(t, goAhead.Send(t.Context(), back, "t1", "on"))
		run, err = v1.Find(t.Context(), back, run.ID())
		require.NoError(t, err)
		out, err := run.Result(t.Context())
		require.NoError(t, err)
		require.Equal(t, "on", out.Name)
	})
}

// The SQL stores keep the same books: what is seen, what is marked, and whose mark is taken away.
func TestStraysInSQL(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		v1 := tripVersion(1)
		e, leave := node(t, s, saga.Hooks{}, v1)
		for _, id := range []saga.ID{"t1", "t2", "t3"} {
			_, err := v1.Start(within(t), e, id, trip{})
			require.NoError(t, err)
		}
		leave()
		strays := func(mark bool, limit int) (map[string]int, bool) {
			marked, more, err := s.Strays(t.Context(), time.Minute, mark, limit)
			require.NoError(t, err)
			return marked, more
		}
		marked, more := strays(true, 10)
		require.Empty(t, marked, "a live node ran them just now")
		require.False(t, more)
		missing := func(us int64) {
			_, err := s.DB().Exec(t.Context(), `update saga_def set seen = $1`, us)
			require.NoError(t, err)
		}
		parked := func() int {
			found, err := s.Search(t.Context(), saga.SearchQuery{From: saga.FromState, State: saga.StateParked, Limit: 10})
			require.NoError(t, err)
			return len(found)
		}
		missing(0)
		for want := 2; want >= 1; want-- {
			marked, more = strays(true, 2)
			require.Equal(t, map[string]int{"trip@1": want}, marked)
			require.Equal(t, want == 2, more)
		}
		require.Equal(t, 3, parked())
		missing(time.Now().Add(time.Hour).UnixMicro())
		_, more = strays(false, 2)
		require.True(t, more)
		require.Equal(t, 1, parked())
		_, more = strays(false, 2)
		require.False(t, more)
		require.Zero(t, parked())
	})
}

// A rolling restart from version 1 to both to version 2: sagas finish under the version they began with, on whoever knows it.
func TestRollingRestartFinishesOldVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, l := sagatest.NewStore(nil), &log{}
		v1, v2 := tripVersion(1, stop(l, "one")), tripVersion(2, stop(l, "two"))
		a, stopA := node(t, store, saga.Hooks{}, v1)
		defer stopA()
		_, err := v1.Start(t.Context(), a, "old-1", trip{})
		require.NoError(t, err)
		_, err = v1.Start(t.Context(), a, "old-2", trip{})
		require.NoError(t, err)

		b, stopB := node(t, store, saga.Hooks{}, v1, v2) // the deploy begins: old and new side by side
		defer stopB()
		_, err = v2.Start(t.Context(), b, "new-1", trip{})
		require.NoError(t, err)
		stopA()
		time.Sleep(time.Minute)
		finish := func(id saga.ID) {
			require.NoError(t, goAhead.Send(t.Context(), b, id, "on"))
			for {
				st, err := b.Status(t.Context(), id)
				require.NoError(t, err)
				if st.State == saga.State(saga.Completed) {
					return
				}
				time.Sleep(time.Second)
			}
		}
		finish("old-1")
		require.Equal(t, []string{"do one"}, l.all())
		c, stopC := node(t, store, saga.Hooks{}, v2) // the first that no longer knows the old version
		defer stopC()
		time.Sleep(time.Minute)
		_, err = v2.Start(t.Context(), c, "new-2", trip{})
		require.NoError(t, err)
		finish("old-2")
		finish("new-1")
		require.NoError(t, goAhead.Send(t.Context(), c, "new-2", "on"))
		run, err := v2.Find(t.Context(), c, "new-2")
		require.NoError(t, err)
		_, err = run.Result(t.Context())
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"do one", "do one", "do two", "do two"}, l.all())
		for id, version := range map[saga.ID]int{"old-1": 1, "old-2": 1, "new-1": 2, "new-2": 2} {
			st, err := b.Status(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, version, st.Version)
		}
	})
}

// A saga that is parked for good while it also counts as a stray keeps its state when its definition is back.
func TestStrayThatParks(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s, gate := store(), make(chan struct{})
		stuck := saga.Retriable("stuck", func(c saga.Ctx, _ trip) (saga.None, error) {
			<-gate
			return saga.None{}, saga.Reject("no")
		})
		def := saga.Define("trip", 1, saga.Pivot("pivot", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }), stuck)
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		seen := func(us int64) {
			_, err := s.DB().Exec(t.Context(), `update saga_def set seen = $1`, us)
			require.NoError(t, err)
		}
		eventually(t, "is a stray", func() bool { // unless the node notes just then that it runs it
			seen(0)
			marked, _, err := s.Strays(t.Context(), time.Minute, true, 10)
			return err == nil && marked["trip@1"] == 1
		})
		close(gate)
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.ParkedError))
		seen(time.Now().UnixMicro())
		_, _, err = s.Strays(t.Context(), time.Minute, false, 10)
		require.NoError(t, err)
		page, err := e.Search(within(t), saga.Filter{State: saga.StateParked}, "", 0)
		require.NoError(t, err)
		require.Len(t, page.Sagas, 1)
		require.Equal(t, "stuck", page.Sagas[0].Step)
	})
}
