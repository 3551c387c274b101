package saga_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
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

// beatTimes is a store that notes how long beats take.
type beatTimes struct {
	saga.Store
	mu   sync.Mutex
	took []time.Duration
}

func (b *beatTimes) Beat(ctx context.Context, l saga.Lease) (time.Time, error) {
	began := time.Now()
	at, err := b.Store.Beat(ctx, l)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took = append(b.took, time.Since(began))
	return at, err
}

func (b *beatTimes) percentile(p float64) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.Sort(b.took)
	return b.took[min(len(b.took)-1, int(float64(len(b.took))*p))]
}

// F-POOL-1: transactional steps hold or want every connection of a pool that is far too small, for longer than a lease
// lasts. The journal goes on, no beat waits for them, and no lease is lost.
func TestTxStepsDoNotStarveTheEngine(t *testing.T) {
	t.Parallel()
	db, err := datapg.Open(t.Context(), datapg.Config{DSN: datatest.PostgresDSN(t), MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	inner, err := sagapg.New(t.Context(), db)
	require.NoError(t, err)
	store := &beatTimes{Store: inner}
	hold := make(chan struct{})
	var held atomic.Int32
	def := saga.Define("busy", 1,
		saga.Step("plain", func(saga.Ctx, int) (string, error) { return "ok", nil }),
		saga.TxStep("tx", func(c saga.Ctx, tx data.Tx, n int) (string, error) {
			if held.Add(1) <= 2 { // these two are all there is
				select {
				case <-hold:
				case <-c.Done():
					return "", context.Cause(c)
				}
			}
			_, err := tx.Exec(c, `select pg_sleep(0.01)`)
			return "ok", err
		}).Timeout(20*time.Second))
	var fenced atomic.Int32
	e, _ := engine(t, saga.Config{
		TTL: time.Second, TxConcurrency: 50,
		Hooks: saga.Hooks{Fenced: func(context.Context, saga.NodeEvent) { fenced.Add(1) }},
	}, store, def)
	require.Eventually(t, e.Running, 10*time.Second, time.Millisecond)
	var runs []*saga.Run[int]
	for n := range 50 {
		run, err := def.Start(within(t), e, saga.ID(fmt.Sprint(n)), n)
		require.NoError(t, err, "a start does not need the pool")
		runs = append(runs, run)
	}
	require.Eventually(t, func() bool { return held.Load() >= 2 }, 10*time.Second, time.Millisecond)
	beats := func() int {
		store.mu.Lock()
		defer store.mu.Unlock()
		return len(store.took)
	}
	for until := beats() + 10; beats() < until; { // twice the time to live
		time.Sleep(10 * time.Millisecond)
		require.True(t, e.Running())
	}
	close(hold)
	for _, run := range runs {
		_, err := run.Result(within(t))
		require.NoError(t, err)
	}
	require.Zero(t, fenced.Load(), "no lease was lost")
	t.Logf("beats while 2 of 50 transactional steps held the whole pool: p50 %s, p99 %s of %d",
		store.percentile(0.5), store.percentile(0.99), beats())
}
