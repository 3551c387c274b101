package sagapg_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// run runs an engine until the test or the returned func ends it.
func run(t *testing.T, cfg saga.Config, store saga.Store, defs ...saga.Definition) (*saga.Engine, func()) {
	t.Helper()
	cfg.Hooks.Failed = func(_ context.Context, err error) {
		if !errors.Is(err, context.Canceled) {
			t.Logf("engine: %v", err)
		}
	}
	e, err := saga.New(cfg, store, defs...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	var once atomic.Bool
	stop := func() {
		if once.CompareAndSwap(false, true) {
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	require.Eventually(t, e.Running, 30*time.Second, time.Millisecond)
	return e, stop
}

// rss is the memory of this process in MiB.
func rss(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc: the memory of a process is not known here")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kb int
	_, err = fmt.Sscan(rest, &kb)
	require.NoError(t, err)
	return kb >> 10
}

// startToEnd is the median of how long a saga of one step takes.
func startToEnd(t *testing.T, e *saga.Engine, def *saga.Def[int], name string) time.Duration {
	t.Helper()
	var took []time.Duration
	for n := range 101 {
		began := time.Now()
		r, err := def.Start(t.Context(), e, saga.ID(fmt.Sprint(name, n)), n)
		require.NoError(t, err)
		_, err = r.Result(t.Context())
		require.NoError(t, err)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// Sleeping sagas are rows: they cost a node neither goroutines nor memory, delay nobody, and each wakes when it is due.
// It counts goroutines and memory of the process, so nothing else may run.
func TestSleepersCostNothing(t *testing.T) { //nolint:paralleltest // see above
	n := sleepers(t)
	db := datatest.Postgres(t)
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	var woken atomic.Int32
	nap := saga.Define("nap", 1, saga.Sleep("night", func(int) time.Duration { return 24 * time.Hour }),
		saga.Step("rise", func(saga.Ctx, int) (int, error) { woken.Add(1); return 0, nil }))
	quick := saga.Define("quick", 1, saga.Step("one", func(saga.Ctx, int) (int, error) { return 1, nil }))
	e, stop := run(t, saga.Config{}, store, nap, quick)
	goroutines := runtime.NumGoroutine()
	before := startToEnd(t, e, quick, "before")
	_, err = nap.Start(t.Context(), e, "first", 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return rows(t, db, "saga_timer") == 1 }, 10*time.Second, 5*time.Millisecond)
	stop()
	const awake = 100
	copies(t, db, "first", "nap-", n, awake)

	began := time.Now()
	e, stop = run(t, saga.Config{}, store, nap, quick)
	require.Eventually(t, func() bool { return woken.Load() == awake }, time.Minute, 5*time.Millisecond, "the first are woken")
	firstWoken := time.Since(began)
	after := startToEnd(t, e, quick, "after")
	more, memory := runtime.NumGoroutine()-goroutines, rss(t)
	t.Logf("%d sleepers: %d goroutines more than idle, %d MiB; one saga from start to end: median %s before, %s now; "+
		"lanes claimed and the first %d woken after %s", n, more, memory, before, after, awake, firstWoken.Round(time.Millisecond))
	require.Less(t, more, 200)
	require.Less(t, memory, 512)
	require.Equal(t, n-awake+1, rows(t, db, "saga_timer"), "all others sleep on")
	stop()
}

// counting is a store that counts the sagas of which a node knows the journal and that have not ended.
type counting struct {
	saga.Store
	now, most atomic.Int64
}

func (c *counting) Load(ctx context.Context, sagas []saga.UID) ([]saga.History, error) {
	h, err := c.Store.Load(ctx, sagas)
	if n := c.now.Add(int64(len(h))); n > c.most.Load() {
		c.most.Store(n)
	}
	return h, err
}

func (c *counting) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	results, err := c.Store.Append(ctx, l, writes)
	for _, w := range writes {
		if err == nil && w.End {
			c.now.Add(-1)
		}
	}
	return results, err
}

// F-BACK-1: a node that finds a backlog takes no more of it into memory than it can work on, and a saga that starts
// meanwhile does not wait for it.
func TestBacklogIsWorkedOffInBoundedMemory(t *testing.T) {
	t.Parallel()
	n := sleepers(t)
	db := datatest.Postgres(t)
	inner, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	store := &counting{Store: inner}
	def := saga.Define("work", 1, saga.Step("one", func(saga.Ctx, int) (int, error) { return 1, nil }))
	client, err := saga.New(saga.Config{}, store, def)
	require.NoError(t, err)
	_, err = def.Start(t.Context(), client, "first", 1)
	require.NoError(t, err)
	copies(t, db, "first", "work-", n, 0)
	began := time.Now()
	e, _ := run(t, saga.Config{Concurrency: 64}, store, def)
	fresh := time.Now()
	r, err := def.Start(t.Context(), e, "fresh", 1)
	require.NoError(t, err)
	_, err = r.Result(t.Context())
	require.NoError(t, err)
	took, left := time.Since(fresh), rows(t, db, "saga_active")
	require.Positive(t, left, "the backlog is not done")
	require.Eventually(t, func() bool { return rows(t, db, "saga_active") == 0 }, 10*time.Minute, 50*time.Millisecond)
	t.Logf("%d pending sagas done in %s, at most %d in memory; one that started meanwhile took %s, with %d before it",
		n, time.Since(began).Round(time.Millisecond), store.most.Load(), took.Round(time.Millisecond), left)
	require.Less(t, store.most.Load(), int64(1024+200+100), "what may be in memory, a page, and what this test itself asks for")
}
