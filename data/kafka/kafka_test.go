package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually bounds every wait for an event; a busy machine may need much of it.
const eventually = 60 * time.Second

// cluster starts a broker in a box that knows the topics, with partitions each.
func cluster(t *testing.T, partitions int32, topics ...string) (*kfake.Cluster, kafka.Config) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...),
		kfake.GroupMinSessionTimeout(100*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	return fake, kafka.Config{Brokers: fake.ListenAddrs()}
}

// brokers runs test against a broker in a box, and against a real one where MMF_TEST_KAFKA_BROKERS names it.
func brokers(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		_, cfg := cluster(t, 1)
		test(t, cfg)
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		seeds := datatest.KafkaBrokers(t)
		test(t, kafka.Config{Brokers: seeds, Prefix: "test-" + rand.Text() + "-"})
	})
}

func newClient(t *testing.T, cfg kafka.Config) *kafka.Client {
	t.Helper()
	client, err := kafka.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = client.Close(ctx) // tests that take the broker away leave messages behind
	})
	return client
}

// produce writes events in order and fails the test when one is not acknowledged.
func produce(t *testing.T, client *kafka.Client, prefix string, events ...data.Event) {
	t.Helper()
	records := make([]*kgo.Record, len(events))
	for i, ev := range events {
		r, err := kafka.Encode(ev)
		require.NoError(t, err)
		r.Topic = prefix + r.Topic
		records[i] = r
	}
	require.NoError(t, client.Native().ProduceSync(t.Context(), records...).FirstErr())
}

func event(topic, key string, n int) data.Event {
	return data.Event{
		ID: fmt.Sprintf("%s-%d", key, n), Topic: topic, Key: key, Type: "test.happened.v1", Source: "test",
		Data: map[string]int{"n": n},
	}
}

// running is a consumer under test.
type running struct {
	stop context.CancelFunc
	done chan error
}

// run starts a consumer; the test's end stops it and checks that it ended well.
func run(t *testing.T, cfg kafka.ConsumerConfig, h kafka.Handler) *running {
	t.Helper()
	consumer, err := kafka.NewConsumer(cfg, h)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- consumer.Run(ctx) }()
	t.Cleanup(func() { require.NoError(t, r.wait()) })
	return r
}

// wait stops the consumer and returns what Run returned; further calls return nil.
func (r *running) wait() error {
	r.stop()
	if err, ok := <-r.done; ok {
		close(r.done)
		return err
	}
	return nil
}

// inbox collects what handlers saw.
type inbox struct {
	mu   sync.Mutex
	seen []kafka.Received
	more chan struct{}
}

func newInbox() *inbox { return &inbox{more: make(chan struct{}, 1)} }

func (b *inbox) add(ev kafka.Received) {
	b.mu.Lock()
	b.seen = append(b.seen, ev)
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

func (b *inbox) all() []kafka.Received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]kafka.Received(nil), b.seen...)
}

// until waits for a state of what was seen.
func (b *inbox) until(t *testing.T, what string, ok func([]kafka.Received) bool) []kafka.Received {
	t.Helper()
	deadline := time.After(eventually)
	for {
		if seen := b.all(); ok(seen) {
			return seen
		}
		select {
		case <-b.more:
		case <-deadline:
			require.FailNow(t, "waited in vain for "+what, "%d seen", len(b.all()))
		}
	}
}

func atLeast(n int) func([]kafka.Received) bool {
	return func(seen []kafka.Received) bool { return len(seen) >= n }
}

// await receives within the test's patience.
func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(eventually):
		require.FailNow(t, "waited in vain for "+what)
		panic("unreachable")
	}
}

// dump reads n records of a topic with a client of its own.
func dump(t *testing.T, cfg kafka.Config, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(cfg.Prefix+topic), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n && ctx.Err() == nil {
		out = append(out, client.PollFetches(ctx).Records()...)
	}
	require.Len(t, out, n, "records in topic %s", topic)
	return out
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
