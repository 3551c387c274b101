package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// load is how long a contender is driven. The load is closed: as many callers as sagas in flight, each starting its next one
// when it has the result of the last. So a slow engine is asked less often, and percentiles leave out what an open load
// would make wait ("coordinated omission" does not apply, and these are no response times at a given arrival rate).
type load struct {
	warm    time.Duration // not measured
	measure time.Duration
}

// All callers begin at once, so the first sagas of a slow engine end together, long after that. Its rate can be told only
// from several such waves: both parts last until these have passed, within limits, whatever their length.
const (
	warmWaves    = 1
	measureWaves = 3
	warmLimit    = 10 * time.Second // more than asked for
	measureLimit = 4                // times what was asked for
)

func orderID(caller int, n int64) string { return fmt.Sprintf("order-%04d-%08d", caller, n) }

// ending is a saga's, as its caller saw it.
type ending struct {
	at   time.Time
	took time.Duration
}

// drive keeps inFlight callers busy. Each result is checked; sagas that end in the measured part make throughput and
// latencies, from the call that starts a saga to the return of its result; all of them are counted.
func drive(ctx context.Context, e engine, inFlight int, ld load) (figures, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var ended atomic.Int64
	var over atomic.Bool
	endings := make([][]ending, inFlight)
	var callers sync.WaitGroup
	for caller := range inFlight {
		callers.Go(func() {
			for !over.Load() && ctx.Err() == nil {
				o := order{ID: orderID(caller, int64(len(endings[caller]))), Cents: 4200}
				start := time.Now()
				got, err := e.saga(ctx, o)
				end := time.Now()
				if err == nil && got != finished(o) {
					err = fmt.Errorf("saga %s ended with %+v", o.ID, got)
				}
				if err != nil {
					cancel(err)
					return
				}
				endings[caller] = append(endings[caller], ending{end, end.Sub(start)})
				ended.Add(1)
			}
		})
	}
	await(ctx, &ended, warmWaves*int64(inFlight), ld.warm, ld.warm+warmLimit)
	from := time.Now()
	await(ctx, &ended, ended.Load()+measureWaves*int64(inFlight), ld.measure, measureLimit*ld.measure)
	to := time.Now()
	over.Store(true)
	callers.Wait()
	sagas := ended.Load()
	if err := context.Cause(ctx); err != nil {
		return figures{}, sagas, err
	}
	f, err := summarize(slices.Concat(endings...), from, to)
	return f, sagas, err
}

// await returns when both at least is over and so many sagas have ended, at the latest after at most.
func await(ctx context.Context, ended *atomic.Int64, sagas int64, least, most time.Duration) {
	began := time.Now()
	for pause := least; ctx.Err() == nil; pause = time.Millisecond {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		if gone := time.Since(began); gone >= most || gone >= least && ended.Load() >= sagas {
			return
		}
	}
}

// summarize makes figures of the sagas that ended within a time.
func summarize(endings []ending, from, to time.Time) (figures, error) {
	var took []time.Duration
	for _, e := range endings {
		if e.at.After(from) && !e.at.After(to) {
			took = append(took, e.took)
		}
	}
	if len(took) == 0 {
		return figures{}, fmt.Errorf("no saga ended within %s", to.Sub(from))
	}
	slices.Sort(took)
	return figures{
		PerSecond: float64(len(took)) / to.Sub(from).Seconds(),
		P50:       quantile(took, 0.50), P95: quantile(took, 0.95), P99: quantile(took, 0.99),
	}, nil
}

// quantile of sorted, not empty values: the smallest one that at least a share q of them does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(math.Ceil(q*float64(len(sorted))-1e-9)) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
