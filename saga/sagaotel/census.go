package sagaotel

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/saga"
)

// censusLimit bounds a count, so that a scrape never waits longer for a database that is slow.
const censusLimit = 800 * time.Millisecond

// Observe adds the engine to mmf_saga_inflight and mmf_saga_oldest_age_seconds until stop is called. One engine of a process can be
// observed at a time with one MeterProvider.
func (t *Telemetry) Observe(engine *saga.Engine) (stop func() error, err error) {
	c := &census{engine: engine, every: t.cfg.CensusEvery}
	r, err := t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		counts, err := c.take(ctx)
		now := time.Now()
		for _, n := range counts {
			for _, by := range []struct {
				status string
				n      int
			}{{"running", n.Running}, {"compensating", n.Compensating}, {"waiting", n.Waiting}, {"parked", n.Parked}} {
				o.ObserveInt64(t.inst.inflight, int64(by.n), t.labels.get(labelKey{saga: n.Saga, status: by.status}).set)
			}
			age := 0.0
			if !n.Oldest.IsZero() {
				age = max(now.Sub(n.Oldest).Seconds(), 0)
			}
			o.ObserveFloat64(t.inst.oldest, age, t.labels.get(labelKey{saga: n.Saga}).set)
		}
		return err
	}, t.inst.inflight, t.inst.oldest)
	if err != nil {
		return nil, fmt.Errorf("sagaotel: observe: %w", err)
	}
	return r.Unregister, nil
}

// census keeps the last count of an engine.
type census struct {
	engine *saga.Engine
	every  time.Duration

	mu   sync.Mutex
	last []saga.Census
	next time.Time
}

// take returns the last count, after making a new one when it is time. One that fails leaves the last count standing.
func (c *census) take(ctx context.Context) ([]saga.Census, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if began.Before(c.next) {
		return c.last, nil
	}
	ctx, cancel := context.WithTimeout(ctx, censusLimit)
	defer cancel()
	counts, err := c.engine.Census(ctx)
	now := time.Now()
	c.next = now.Add(max(c.every, 50*now.Sub(began)))
	if err != nil {
		return c.last, err
	}
	c.last = counts
	return counts, nil
}
