package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// load is how long a contender is driven. The load is closed: as many callers as sagas in flight, each starting its next one
// when it has the result of the last. So a slow engine is asked less often, and percentiles leave out what an open load
// would make wait ("coordinated omission" does not apply, and these are no response times at a given arrival rate).
type load struct {
	warm    time.Duration // not measured
	measure time.Duration
}

func orderID(caller int, n int64) string { return fmt.Sprintf("order-%04d-%08d", caller, n) }

// drive keeps inFlight callers busy. Each result is checked; sagas that end in the measured part make throughput and
// latencies, from the call that starts a saga to the return of its result; all of them are counted.
func drive(ctx context.Context, e engine, inFlight int, ld load) (figures, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	from, to := began.Add(ld.warm), began.Add(ld.warm+ld.measure)
	latencies, total := make([][]time.Duration, inFlight), make([]int64, inFlight)
	var callers sync.WaitGroup
	for caller := range inFlight {
		callers.Go(func() {
			for {
				start := time.Now()
				if start.After(to) || ctx.Err() != nil {
					return
				}
				o := order{ID: orderID(caller, total[caller]), Cents: 4200}
				got, err := e.saga(ctx, o)
				if err == nil && got != finished(o) {
					err = fmt.Errorf("saga %s ended with %+v", o.ID, got)
				}
				if err != nil {
					cancel(err)
					return
				}
				total[caller]++
				if end := time.Now(); end.After(from) && !end.After(to) {
					latencies[caller] = append(latencies[caller], end.Sub(start))
				}
			}
		})
	}
	callers.Wait()
	var sagas int64
	for _, n := range total {
		sagas += n
	}
	if err := context.Cause(ctx); err != nil {
		return figures{}, sagas, err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return figures{}, sagas, fmt.Errorf("no saga ended within %s", ld.measure)
	}
	slices.Sort(all)
	return figures{
		PerSecond: float64(len(all)) / ld.measure.Seconds(),
		P50:       quantile(all, 0.50), P95: quantile(all, 0.95), P99: quantile(all, 0.99),
	}, sagas, nil
}

// quantile of sorted, not empty values: the smallest one that at least a share q of them does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(math.Ceil(q*float64(len(sorted))-1e-9)) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
