package faulttest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// TestNothingIsLeft runs thousands of sagas over several incarnations and looks at goroutines, files and the heap before and
// after. F-LEAK-1.
func TestNothingIsLeft(t *testing.T) { // not in parallel: it counts what the process has
	n := 2000
	if long {
		n = 10_000
	}
	db := datatest.Postgres(t)
	store, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	type trip struct{ N int }
	step := func(name string) saga.Node[trip] {
		return saga.Step(name, func(_ saga.Ctx, s trip) (saga.None, error) {
			switch {
			case name == "c" && s.N%3 == 0:
				return saga.None{}, saga.Reject("no")
			case name == "b" && s.N%5 == 0:
				return saga.None{}, errors.New("flaky")
			}
			return saga.None{}, nil
		}).Undo(func(saga.Ctx, trip, saga.None) error { return nil }).Retry(saga.Retry{Max: 2, First: time.Millisecond, Cap: time.Millisecond})
	}
	def := saga.Define("trip", 1, step("a"), step("b"), step("c"))
	e, err := saga.New(saga.Config{TTL: time.Second, Poll: 10 * time.Millisecond}, store, def)
	require.NoError(t, err)
	round := func(name string, n int) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		var all sync.WaitGroup
		var bad atomic.Int32
		gate := make(chan struct{}, 50)
		for i := range n {
			gate <- struct{}{}
			all.Go(func() {
				defer func() { <-gate }()
				run, err := def.Start(ctx, e, saga.ID(fmt.Sprint(name, i)), trip{i})
				if err == nil {
					_, err = run.Result(ctx)
				}
				if err != nil && !errors.As(err, new(*saga.CompensatedError)) {
					bad.Add(1)
				}
			})
		}
		all.Wait()
		cancel()
		require.NoError(t, <-done)
		require.Zero(t, bad.Load())
	}
	measure := func() (goroutines, files int, heap uint64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fds, _ := os.ReadDir("/proc/self/fd")
		return runtime.NumGoroutine(), len(fds), m.HeapAlloc
	}
	round("warm", 200)
	g0, f0, h0 := measure()
	for i := range 4 {
		round(fmt.Sprint("r", i, "-"), n/4)
	}
	var g1, f1 int
	var h1 uint64
	require.Eventually(t, func() bool { g1, f1, h1 = measure(); return g1 <= g0+5 && f1 <= f0+5 }, 30*time.Second, 50*time.Millisecond)
	t.Logf("goroutines %d → %d, files %d → %d, heap %d → %d KiB after %d sagas", g0, g1, f0, f1, h0>>10, h1>>10, n)
	require.Less(t, h1, h0+16<<20)
}

// TestParticipantReturns takes the participants away and brings them back: the sagas that waited do not all come at once. F-STORM-1.
func TestParticipantReturns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sagas := orders("b", 50)
	r.ledger.set(func() { r.ledger.away = true })
	w := r.worker(r.spec(sagas...))
	require.Eventually(t, func() bool { return len(r.ledger.of("b")) > 500 }, time.Minute, 5*time.Millisecond)
	r.ledger.set(func() { r.ledger.away = false })
	w.finish()
	r.check(sagas)
	// By then every saga waits up to its cap; full jitter spreads them over it.
	buckets := map[time.Duration]int{}
	most := 0
	entries := r.ledger.of("b")
	for _, e := range entries[len(sagas):500] {
		b := e.At / (20 * time.Millisecond)
		buckets[b]++
		most = max(most, buckets[b])
	}
	t.Logf("%d attempts while away, at most %d in 20 ms", 500-len(sagas), most)
	require.Less(t, most, 2*len(sagas))
}
