package kafka_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/outbox"
)

func publish(t *testing.T, client *kafka.Client, events ...data.Event) []error {
	t.Helper()
	records := make([]outbox.Record, len(events))
	for i, ev := range events {
		records[i] = outbox.Record{Event: ev, Attempt: 1}
	}
	return client.Publish(t.Context(), records)
}

// A message that the broker refuses, and one that is no event, hold back the later ones of their key and nobody else's.
func TestPublishHoldsBackWhatFollowsAFailureOfItsKey(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		client := newClient(t, cfg)
		small := kafka.Topic{Name: "orders", Partitions: 1, Configs: map[string]string{"max.message.bytes": "10000"}}
		require.NoError(t, client.EnsureTopics(t.Context(), small))
		var events []data.Event
		for n := range 4 {
			for _, key := range []string{"a", "b", "c"} {
				events = append(events, event("orders", key, n))
			}
		}
		large := make([]byte, 50_000) // random, or compression makes it small
		_, _ = rand.NewChaCha8([32]byte{}).Read(large)
		events[3].Data = large // a-1
		events[7].Type = ""    // b-2
		answers := publish(t, client, events...)
		var skipped *kafka.SkippedError
		for i, err := range answers {
			what := fmt.Sprintf("%s: %v", events[i].ID, err)
			switch i {
			case 3:
				require.ErrorIs(t, err, kerr.MessageTooLarge, what)
				require.ErrorIs(t, err, outbox.ErrPermanent, what)
			case 7:
				require.ErrorContains(t, err, "Type", what)
				require.ErrorIs(t, err, outbox.ErrPermanent, what)
			case 6, 9, 10:
				require.ErrorAs(t, err, &skipped, what)
				require.NotErrorIs(t, err, outbox.ErrPermanent, what)
			default:
				require.NoError(t, err, what)
			}
		}
		var inLog []string
		for _, r := range dump(t, cfg, "orders", 7) {
			inLog = append(inLog, header(r, "ce_id"))
		}
		require.ElementsMatch(t, []string{"a-0", "b-0", "c-0", "b-1", "c-1", "c-2", "c-3"}, inLog)
		requireOrder(t, inLog)
	})
}

// requireOrder checks that the first occurrences of each key's numbers rise one by one.
func requireOrder(t *testing.T, ids []string) {
	t.Helper()
	seen, next := map[string]bool{}, map[byte]int{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			require.Equal(t, fmt.Sprintf("%c-%d", id[0], next[id[0]]), id)
			next[id[0]]++
		}
	}
}

// An outbox hands over old events after an outage, or when its relay was down. How old an event is says nothing about how long its
// sending has taken.
func TestPublishTakesOldEvents(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		cfg.DeliveryTimeout = 10 * time.Second
		client := newClient(t, cfg)
		require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders", Partitions: 1}))
		old, older := event("orders", "a", 0), event("orders", "a", 1)
		old.Time, older.Time = time.Now().Add(-time.Hour), time.Now().Add(-365*24*time.Hour)
		for _, err := range publish(t, client, old, older) {
			require.NoError(t, err)
		}
		for i, r := range dump(t, cfg, "orders", 2) {
			require.Equal(t, []data.Event{old, older}[i].Time.UTC().Format(time.RFC3339Nano), header(r, "ce_time"))
			require.Less(t, time.Since(r.Timestamp), time.Minute, "the record's own time is that of its sending; retention counts from it")
		}
	})
}

func TestPublishRidesOutWhatBrokersRecoverFrom(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*kerr.Error{
		"leader moved":                 kerr.NotLeaderForPartition,
		"stored, but the answer is no": kerr.RequestTimedOut,
		"stored on too few replicas":   kerr.NotEnoughReplicasAfterAppend,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, cfg := cluster(t, 1, "orders")
			client := newClient(t, cfg)
			fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: 3})
			for _, err := range publish(t, client, event("orders", "a", 0), event("orders", "a", 1), event("orders", "b", 0)) {
				require.NoError(t, err)
			}
			var inLog []string
			for _, r := range dump(t, cfg, "orders", 3) {
				inLog = append(inLog, header(r, "ce_id"))
			}
			requireOrder(t, inLog)
		})
	}
}

// An event that waited in the outbox for longer than a delivery may take, because nobody was there to send it, is as good as a new one.
func TestPublishSendsEventsOlderThanTheDeliveryTimeout(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders")
	cfg.DeliveryTimeout = 5 * time.Second
	client := newClient(t, cfg)
	late := event("orders", "a", 1)
	late.Time = time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	produce(t, client, cfg.Prefix, late)
	got, err := kafka.Decode(dump(t, cfg, "orders", 1)[0])
	require.NoError(t, err)
	require.True(t, late.Time.Equal(got.Time), "the event keeps its time")
}

func TestPublishToAMissingTopicFailsButNotForGood(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1)
	client := newClient(t, cfg)
	err := publish(t, client, event("orders", "a", 0))[0]
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	require.NotErrorIs(t, err, outbox.ErrPermanent)
	require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders"}))
	require.NoError(t, publish(t, client, event("orders", "a", 0))[0])
}

// The broker goes away in the middle and comes back: publishing answers within its bound, whoever repeats what was not
// acknowledged loses nothing, and a consumer that ran all the time sees each key in order.
func TestBrokerDownAtPublish(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	start := func() *kfake.Cluster {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir), kfake.SyncWrites(),
			kfake.GroupMinSessionTimeout(100*time.Millisecond))
		require.NoError(t, err)
		return fake
	}
	fake := start()
	cfg := kafka.Config{Brokers: fake.ListenAddrs(), DeliveryTimeout: time.Second}
	client := newClient(t, cfg)
	require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders", Partitions: 4, DLQ: true}))
	require.NoError(t, client.Ping(t.Context()))

	got := newInbox()
	run(t, consumerConfig(cfg, "orders"), func(_ context.Context, ev kafka.Received) error { got.add(ev); return nil })

	var pending []data.Event
	for n := range 50 {
		for key := range 20 {
			pending = append(pending, event("orders", string(rune('a'+key)), n))
		}
	}
	// repeat is what an outbox's relay does: whatever has no acknowledgement stays and is sent again.
	repeat := func(events []data.Event) (left []data.Event) {
		for i, err := range publish(t, client, events...) {
			if err != nil {
				require.NotErrorIs(t, err, outbox.ErrPermanent)
				left = append(left, events[i])
			}
		}
		return left
	}
	require.Empty(t, repeat(pending[:200]))
	fake.Close()
	left := repeat(pending[200:])
	require.Len(t, left, 800, "nothing is acknowledged while the broker is away")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	require.Error(t, client.Ping(ctx))

	fake = start()
	t.Cleanup(fake.Close)
	for deadline := time.Now().Add(eventually); len(left) > 0; {
		require.True(t, time.Now().Before(deadline), "%d still unsent", len(left))
		left = repeat(left)
	}
	distinct := func(seen []kafka.Received) []string {
		var ids []string
		known := map[string]bool{}
		for _, ev := range seen {
			if !known[ev.ID] {
				known[ev.ID] = true
				ids = append(ids, ev.ID)
			}
		}
		return ids
	}
	seen := got.until(t, "all events", func(seen []kafka.Received) bool { return len(distinct(seen)) >= 1000 })
	require.Len(t, distinct(seen), 1000)
	requireOrder(t, distinct(seen))
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

func TestEnsureTopicsCreatesOnceAndRefusesNarrowOnes(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		client := newClient(t, cfg)
		orders := kafka.Topic{Name: "orders", Partitions: 2, DLQ: true, Configs: map[string]string{"retention.ms": "3600000"}}
		require.NoError(t, client.EnsureTopics(t.Context(), orders))
		require.NoError(t, client.EnsureTopics(t.Context(), orders))
		require.NoError(t, client.Native().ProduceSync(t.Context(),
			&kgo.Record{Topic: cfg.Prefix + "orders.dlq", Value: []byte("x")}).FirstErr())
		orders.Partitions = 3
		require.ErrorIs(t, client.EnsureTopics(t.Context(), orders), kafka.ErrTopicMismatch)
		require.ErrorContains(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "no/slash"}), "no/slash")
	})
}

// Publish must answer soon after its context ended, whatever the brokers do: the relay's lease is short.
func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	fake, cfg := cluster(t, 1, "orders")
	client := newClient(t, cfg) // its own bound is 15 s
	require.NoError(t, publish(t, client, event("orders", "a", 0))[0])
	arrived, never := make(chan struct{}), make(chan struct{})
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(arrived)
		fake.SleepControl(func() { <-never })
		return nil, nil, false
	})
	t.Cleanup(func() { close(never) })
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan []error, 1)
	go func() {
		answers <- client.Publish(ctx, []outbox.Record{{Event: event("orders", "a", 1)}, {Event: event("orders", "a", 2)}})
	}()
	await(t, "the request at the broker", arrived)
	began := time.Now()
	cancel()
	for _, err := range await(t, "the answers", answers) {
		require.Error(t, err)
		require.NotErrorIs(t, err, outbox.ErrPermanent)
	}
	require.Less(t, time.Since(began), 5*time.Second)
}
