package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// steps is a saga of n plain steps, otherwise that of the comparison.
func steps(n int) *saga.Def[order] {
	nodes := make([]saga.Node[order], n)
	for i := range nodes {
		part := i % len(stepNames)
		nodes[i] = saga.Step(fmt.Sprintf("step-%02d", i), func(_ saga.Ctx, o order) (string, error) { return doStep(part, o), nil }).
			Undo(func(saga.Ctx, order, string) error { return nil }).
			Into(func(o *order, result string) { o.fold(part, result) })
	}
	return saga.Define(fmt.Sprintf("of-%d", n), 1, nodes...)
}

// used is heap that was allocated.
type used struct{ allocs, bytes float64 }

// BenchmarkPlainStep counts what one more plain step makes the process allocate: a saga of 13 steps less one of 3, by ten. It
// runs on the memory store, so the engine, the encoding of records and that store's own copy are in it, and no driver. What is
// left of the saga of 3 steps is its start and its end. Nobody asks for results: here a saga has often ended before that is
// possible, and reading a journal again belongs to no step. The time is of no interest here and left out.
func BenchmarkPlainStep(b *testing.B) {
	for _, inFlight := range []int{1, 64} {
		b.Run(fmt.Sprintf("in-flight=%d", inFlight), func(b *testing.B) {
			short, long := allocations(b, steps(3), inFlight), allocations(b, steps(13), inFlight)
			step := used{(long.allocs - short.allocs) / 10, (long.bytes - short.bytes) / 10}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(step.allocs, "allocs/step")
			b.ReportMetric(step.bytes, "B/step")
			b.ReportMetric(short.allocs-3*step.allocs, "allocs/start+end")
			b.ReportMetric(short.bytes-3*step.bytes, "B/start+end")
		})
	}
}

// allocations per saga, over b.N sagas and a few before them that are not counted.
func allocations(b *testing.B, def *saga.Def[order], inFlight int) used {
	b.Helper()
	ended := make(chan saga.Outcome, inFlight)
	hooks := saga.Hooks{Finished: func(_ context.Context, e saga.SagaEvent) { ended <- e.Outcome }}
	engine, err := saga.New(saga.Config{Hooks: hooks}, sagatest.NewStore(nil), def)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ran := make(chan error, 1)
	go func() { ran <- engine.Run(ctx) }()
	for !engine.Running() {
		time.Sleep(time.Millisecond)
	}
	run := func(from, to int64) {
		var next atomic.Int64
		next.Store(from)
		var callers sync.WaitGroup
		for range inFlight {
			callers.Go(func() {
				for n := next.Add(1); n <= to; n = next.Add(1) {
					id := orderID(0, n)
					if _, err := def.Start(ctx, engine, saga.ID(id), order{ID: id, Cents: 4200}); err != nil {
						b.Error(err)
						return
					}
					if outcome := <-ended; outcome != saga.Completed { // its own, or that of another caller's saga
						b.Errorf("a saga ended as %s", outcome)
					}
				}
			})
		}
		callers.Wait()
	}
	warm := int64(2 * inFlight)
	run(0, warm)
	var from, to runtime.MemStats
	runtime.ReadMemStats(&from)
	run(warm, warm+int64(b.N))
	runtime.ReadMemStats(&to)
	stop()
	if err := <-ran; err != nil {
		b.Fatal(err)
	}
	n := float64(b.N)
	return used{float64(to.Mallocs-from.Mallocs) / n, float64(to.TotalAlloc-from.TotalAlloc) / n}
}
