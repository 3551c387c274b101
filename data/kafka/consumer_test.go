package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/internal/correlation"
)

// consumerConfig is quick where tests wait.
func consumerConfig(cfg kafka.Config, topics ...string) kafka.ConsumerConfig {
	return kafka.ConsumerConfig{
		Config: cfg, Group: "group", Topics: topics,
		FirstBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, CommitInterval: 20 * time.Millisecond,
	}
}

// committedOffset asks the brokers what the group committed; -1 when nothing.
func committedOffset(t *testing.T, client *kafka.Client, cfg kafka.ConsumerConfig, topic string, partition int32) int64 {
	t.Helper()
	offsets, err := kadm.NewClient(client.Native()).FetchOffsets(t.Context(), cfg.Prefix+cfg.Group)
	require.NoError(t, err)
	o, ok := offsets.Lookup(cfg.Prefix+topic, partition)
	if !ok {
		return -1
	}
	return o.At
}

func TestConsumerHandlesInOrderAndCommits(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		client := newClient(t, cfg)
		require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders", Partitions: 2, DLQ: true}))
		var events []data.Event
		for n := range 50 {
			for _, key := range []string{"a", "b", "c", "d"} {
				events = append(events, event("orders", key, n))
			}
		}
		produce(t, client, cfg.Prefix, events...)
		got := newInbox()
		consumer := consumerConfig(cfg, "orders")
		consumer.Lanes = 3
		r := run(t, consumer, func(_ context.Context, ev kafka.Received) error { got.add(ev); return nil })
		seen := got.until(t, "all records", atLeast(len(events)))
		require.NoError(t, r.wait())
		require.Len(t, seen, len(events))
		next := map[string]int{}
		for _, ev := range seen {
			require.Equal(t, fmt.Sprintf("%s-%d", ev.Key, next[ev.Key]), ev.ID)
			require.Equal(t, "orders", ev.Topic, "without the prefix")
			next[ev.Key]++
		}
		total := committedOffset(t, client, consumer, "orders", 0) + committedOffset(t, client, consumer, "orders", 1)
		require.EqualValues(t, len(events), max(total, 0), "everything is committed when Run has returned")
	})
}

func TestConsumerCarriesTheContext(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders")
	client := newClient(t, cfg)
	first, second := event("orders", "a", 1), event("orders", "a", 2)
	first.Headers = map[string]string{correlation.Header: "c-1", "traceparent": "tp"}
	second.Headers = map[string]string{correlation.Header: "evil\nline"}
	produce(t, client, "", first, second)
	type traceKey struct{}
	consumer := consumerConfig(cfg, "orders")
	consumer.Extract = func(ctx context.Context, headers map[string]string) context.Context {
		return context.WithValue(ctx, traceKey{}, headers["traceparent"])
	}
	contexts := make(chan context.Context, 2)
	run(t, consumer, kafka.Handle(func(ctx context.Context, v struct{ N int }, ev kafka.Received) error {
		if v.N == 0 || ev.Attempt != 1 {
			return errors.New("payload or attempt is wrong")
		}
		contexts <- ctx
		return nil
	}))
	ctx := await(t, "the first record", contexts)
	require.Equal(t, correlation.IDs{Correlation: "c-1", Causation: "a-1"}, correlation.From(ctx))
	require.Equal(t, "tp", ctx.Value(traceKey{}))
	ctx = await(t, "the second record", contexts)
	require.Equal(t, correlation.IDs{Correlation: "a-2", Causation: "a-2"}, correlation.From(ctx), "an id that is not valid is replaced")
}

func TestConsumerRetriesInPlaceAndLaterRecordsWait(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders", "orders.dlq")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 1), event("orders", "a", 2))
	consumer := consumerConfig(cfg, "orders")
	got := newInbox()
	run(t, consumer, func(_ context.Context, ev kafka.Received) error {
		got.add(ev)
		switch {
		case ev.ID == "a-1" && ev.Attempt == 1:
			return errors.New("not yet")
		case ev.ID == "a-1" && ev.Attempt == 2:
			panic("still not")
		}
		return nil
	})
	seen := got.until(t, "three attempts and the next record", atLeast(4))
	for i, want := range []string{"a-1/1", "a-1/2", "a-1/3", "a-2/1"} {
		require.Equal(t, want, fmt.Sprintf("%s/%d", seen[i].ID, seen[i].Attempt))
	}
}

func TestConsumerNeverGivesUpOnARecordForAnOutage(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders", "orders.dlq")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 1))
	consumer := consumerConfig(cfg, "orders")
	consumer.MaxAttempts = 1
	got := newInbox()
	done := make(chan kafka.Handling, 1)
	consumer.Hooks.Handled = func(_ context.Context, h kafka.Handling) {
		if h.Outcome != kafka.OutcomeRetry {
			done <- h
		}
	}
	run(t, consumer, func(_ context.Context, ev kafka.Received) error {
		got.add(ev)
		switch {
		case ev.Attempt < 10:
			return fmt.Errorf("insert: %w", &data.Error{Kind: data.KindUnavailable, Err: errors.New("connection refused")})
		case ev.Attempt < 20:
			return kafka.Transient(errors.New("the other service is down"))
		}
		return fmt.Errorf("seen before: %w", kafka.ErrDuplicate)
	})
	h := await(t, "the record's end", done)
	require.Equal(t, kafka.OutcomeDuplicate, h.Outcome)
	require.Equal(t, 20, h.Event.Attempt)
}

func TestConsumerPausesFetchingAtItsBound(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders")
	client := newClient(t, cfg)
	var events []data.Event
	for n := range 200 {
		events = append(events, event("orders", "a", n))
	}
	consumer := consumerConfig(cfg, "orders")
	consumer.MaxBuffered = 5
	var lag atomic.Int64
	consumer.Hooks.Lag = func(_, _ string, _ int32, records int64) { lag.Store(records) }
	got := newInbox()
	gate := make(chan struct{})
	run(t, consumer, func(ctx context.Context, ev kafka.Received) error {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		got.add(ev)
		return nil
	})
	produce(t, client, "", events...)
	for range 200 {
		gate <- struct{}{}
	}
	seen := got.until(t, "all records", atLeast(200))
	for n, ev := range seen {
		require.Equal(t, fmt.Sprintf("a-%d", n), ev.ID)
	}
	require.Eventually(t, func() bool {
		return committedOffset(t, client, consumer, "orders", 0) == 200 && lag.Load() == 0
	}, eventually, 10*time.Millisecond)
}

func TestConsumerStopLetsHandlersFinishAndCommits(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 0), event("orders", "a", 1))
	consumer := consumerConfig(cfg, "orders")
	consumer.CommitInterval = time.Hour
	began, finish := make(chan struct{}, 2), make(chan struct{})
	var finished atomic.Int64
	r := run(t, consumer, func(ctx context.Context, _ kafka.Received) error {
		began <- struct{}{}
		<-finish
		finished.Add(1)
		return ctx.Err()
	})
	await(t, "the first handler", began)
	r.stop()
	close(finish)
	require.NoError(t, r.wait())
	require.Positive(t, finished.Load())
	require.Equal(t, finished.Load(), committedOffset(t, client, consumer, "orders", 0), "what was begun was finished and committed")
}

func TestConsumerStopIsBoundedWhenHandlersIgnoreTheirContext(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1, "orders")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 0))
	consumer := consumerConfig(cfg, "orders")
	consumer.DrainTimeout = 50 * time.Millisecond
	began, finish := make(chan struct{}), make(chan struct{})
	c, err := kafka.NewConsumer(consumer, func(context.Context, kafka.Received) error {
		close(began)
		<-finish
		return nil
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	await(t, "the handler", began)
	require.ErrorIs(t, c.Run(ctx), kafka.ErrRunning)
	cancel()
	require.ErrorContains(t, await(t, "Run to return", done), "orders/0")
	close(finish)
	require.EqualValues(t, -1, committedOffset(t, client, consumer, "orders", 0))
}

func TestConsumerConfigIsStrict(t *testing.T) {
	t.Parallel()
	_, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Config: kafka.Config{Brokers: []string{"nowhere", "host:1", "host:1"}, DialTimeout: -1, Prefix: "white space"},
		Topics: []string{"a", "a", "no/slash"}, Lanes: -1, MaxAttempts: -1, FirstBackoff: time.Minute, MaxBackoff: time.Second,
		RebalanceTimeout: time.Second,
	}, nil)
	for _, problem := range []string{
		`"nowhere"`, "listed twice", "DialTimeout", "Prefix", "group", `topic "a" is listed twice`, "no/slash", "Lanes", "MaxAttempts",
		"MaxBackoff", "RebalanceTimeout", "handler",
	} {
		require.ErrorContains(t, err, problem)
	}
	_, err = kafka.NewClient(kafka.Config{})
	require.ErrorContains(t, err, "Brokers is empty")
}
