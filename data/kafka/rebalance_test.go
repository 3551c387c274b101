package kafka_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
)

// Members come and go in the middle of a batch: 1, 2, 3, 1. A key's records must be handled in order and never by two members at
// once, nothing may be skipped, and no commit may pass a record that is not handled.
func TestRebalanceMidBatchKeepsOrderAndLosesNothing(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		const partitions, keys, perKey = 6, 24, 40
		client := newClient(t, cfg)
		require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders", Partitions: partitions, DLQ: true}))
		var events []data.Event
		for n := range perKey {
			for k := range keys {
				events = append(events, event("orders", fmt.Sprintf("k%d", k), n))
			}
		}
		produce(t, client, cfg.Prefix, events...)

		ledger := newLedger()
		consumer := consumerConfig(cfg, "orders")
		consumer.Lanes = 2
		consumer.MaxBuffered = 50
		moved := make(chan kafka.Rebalance, 1000)
		consumer.Hooks.Rebalanced = func(r kafka.Rebalance) {
			if r.Kind == "revoked" {
				moved <- r
			}
		}
		handler := func(ctx context.Context, ev kafka.Received) error {
			defer ledger.enter(ev)()
			time.Sleep(rand.N(4 * time.Millisecond)) // work, so that members change while some is in flight
			ledger.check(t, client, consumer)
			return nil
		}
		first := run(t, consumer, handler)
		ledger.until(t, keys*perKey/10)
		second := run(t, consumer, handler)
		await(t, "the first member to give partitions up", moved)
		ledger.until(t, keys*perKey/3)
		run(t, consumer, handler)
		await(t, "a member to give partitions up", moved)
		ledger.until(t, keys*perKey/2)
		require.NoError(t, second.wait())
		ledger.until(t, 2*keys*perKey/3)
		require.NoError(t, first.wait())
		ledger.until(t, keys*perKey)
		ledger.verify(t, keys, perKey)
		require.Eventually(t, func() bool {
			var sum int64
			for p := range int32(partitions) {
				sum += max(committedOffset(t, client, consumer, "orders", p), 0)
			}
			return sum == keys*perKey
		}, eventually, 20*time.Millisecond, "lag reaches 0")
	})
}

// ledger is what the handlers did, seen from outside.
type ledger struct {
	mu      sync.Mutex
	changed *sync.Cond
	next    map[string]int // per key: the number that was not handled yet
	busy    map[string]int
	faults  []string
	handled map[string]bool
	open    map[int32]map[int64]bool // per partition: offsets begun and not finished
	calls   int
}

func newLedger() *ledger {
	l := &ledger{next: map[string]int{}, busy: map[string]int{}, handled: map[string]bool{}, open: map[int32]map[int64]bool{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) enter(ev kafka.Received) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.busy[ev.Key]++; l.busy[ev.Key] > 1 {
		l.faults = append(l.faults, "two handlers at once for "+ev.ID)
	}
	if l.open[ev.Partition] == nil {
		l.open[ev.Partition] = map[int64]bool{}
	}
	l.open[ev.Partition][ev.Offset] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open[ev.Partition], ev.Offset)
		l.busy[ev.Key]--
		switch {
		case l.handled[ev.ID]: // a repetition after a hand-over: harmless
		case ev.ID != fmt.Sprintf("%s-%d", ev.Key, l.next[ev.Key]):
			l.faults = append(l.faults, fmt.Sprintf("%s came while %d of the key was due", ev.ID, l.next[ev.Key]))
		default:
			l.next[ev.Key]++
			l.handled[ev.ID] = true
		}
		l.changed.Broadcast()
	}
}

// check asks now and then whether a commit passed a record that is being handled.
func (l *ledger) check(t *testing.T, client *kafka.Client, cfg kafka.ConsumerConfig) {
	l.mu.Lock()
	due := l.calls%50 == 0
	open := map[int32]int64{}
	for p, offsets := range l.open {
		for o := range offsets {
			if lowest, ok := open[p]; !ok || o < lowest {
				open[p] = o
			}
		}
	}
	l.mu.Unlock()
	if !due {
		return
	}
	for p, lowest := range open {
		// A repetition of a handled record is below the watermark rightfully only if its effect is there, which it is not the
		// first time; so look again whether it is still open after the commit was read.
		committed := committedOffset(t, client, cfg, "orders", p)
		l.mu.Lock()
		if l.open[p][lowest] && committed > lowest {
			l.faults = append(l.faults, fmt.Sprintf("committed %d of partition %d while %d was being handled", committed, p, lowest))
		}
		l.mu.Unlock()
	}
}

func (l *ledger) until(t *testing.T, n int) {
	t.Helper()
	timer := time.AfterFunc(eventually, l.changed.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(eventually)
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.handled) < n {
		require.False(t, time.Now().After(deadline), "only %d of %d handled", len(l.handled), n)
		l.changed.Wait()
	}
}

func (l *ledger) verify(t *testing.T, keys, perKey int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Empty(t, l.faults)
	require.Len(t, l.handled, keys*perKey)
	t.Logf("%d records, %d calls of the handler", len(l.handled), l.calls)
}

// The group expels the member while a handler works: the handler's context ends, its record is not committed, and the member
// comes back and handles it again.
func TestLostPartitionsStopAtOnceAndCommitNothing(t *testing.T) {
	t.Parallel()
	fake, cfg := cluster(t, 1, "orders", "orders.dlq")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 0), event("orders", "a", 1))
	consumer := consumerConfig(cfg, "orders")
	consumer.SessionTimeout = time.Second
	consumer.Lanes = 2
	lost := make(chan kafka.Rebalance, 10)
	consumer.Hooks.Rebalanced = func(r kafka.Rebalance) {
		if r.Kind == "lost" {
			lost <- r
		}
	}
	calls := make(chan context.Context, 10)
	gate := make(chan struct{}, 10)
	run(t, consumer, func(ctx context.Context, ev kafka.Received) error {
		calls <- ctx
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	first := await(t, "the first call", calls)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "group", Err: kerr.UnknownMemberID})
	r := await(t, "the loss", lost)
	require.Equal(t, map[string][]int32{"orders": {0}}, r.Partitions)
	require.True(t, r.Drained)
	require.Error(t, first.Err())
	require.EqualValues(t, -1, committedOffset(t, client, consumer, "orders", 0))

	await(t, "the second call", calls)
	gate <- struct{}{}
	await(t, "the record behind it", calls)
	gate <- struct{}{}
	require.Eventually(t, func() bool { return committedOffset(t, client, consumer, "orders", 0) == 2 }, eventually, 10*time.Millisecond)
}
