package kafka_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/marty-framework/mmf/data/kafka"
)

// Poison of every kind must end in the dead-letter topic as it came, and the partition must go on.
func TestPoisonGoesToTheDeadLetterTopic(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		client := newClient(t, cfg)
		require.NoError(t, client.EnsureTopics(t.Context(), kafka.Topic{Name: "orders", Partitions: 1, DLQ: true}))
		topic := cfg.Prefix + "orders"
		good, err := kafka.Encode(event("orders", "a", 1))
		require.NoError(t, err)
		with := func(name, value string) []kgo.RecordHeader {
			out := []kgo.RecordHeader{}
			for _, h := range good.Headers {
				if h.Key == name {
					h.Value = []byte(value)
				}
				out = append(out, h)
			}
			return out
		}
		hostile := make([]kgo.RecordHeader, 0, 10_000)
		for range 10_000 {
			hostile = append(hostile, kgo.RecordHeader{Key: "x", Value: []byte("y")})
		}
		poison := []struct {
			name, class, reason string
			record              *kgo.Record
		}{
			{"no event at all", "undecodable", "ce_specversion", &kgo.Record{Value: []byte("\xff\xfe")}},
			{"tombstone", "undecodable", "ce_specversion", &kgo.Record{Key: []byte("a")}},
			{"other specversion", "undecodable", "0.3", &kgo.Record{Value: good.Value, Headers: with("ce_specversion", "0.3")}},
			{"too many headers", "undecodable", "10000 headers", &kgo.Record{Value: good.Value, Headers: hostile}},
			{"payload of another type", "permanent", "is no", &kgo.Record{Value: []byte(`[]`), Headers: good.Headers}},
			{"zero bytes", "permanent", "is no", &kgo.Record{Value: []byte{}, Headers: good.Headers}},
			{"deep JSON", "permanent", "is no", &kgo.Record{Value: []byte(strings.Repeat("[", 100_000)), Headers: good.Headers}},
			{"always fails", "failed", "out of luck", &kgo.Record{Value: []byte(`{"n":100}`), Headers: good.Headers}},
			{"always panics", "panic", "boom", &kgo.Record{Value: []byte(`{"n":101}`), Headers: good.Headers}},
			{"hopeless", "permanent", "unknown account", &kgo.Record{Value: []byte(`{"n":102}`), Headers: good.Headers}},
		}
		for _, p := range poison {
			p.record.Topic = topic
			require.NoError(t, client.Native().ProduceSync(t.Context(), p.record).FirstErr(), p.name)
		}
		produce(t, client, cfg.Prefix, event("orders", "a", 7))

		consumer := consumerConfig(cfg, "orders")
		consumer.MaxAttempts = 3
		got := newInbox()
		r := run(t, consumer, kafka.Handle(func(_ context.Context, v struct{ N int }, ev kafka.Received) error {
			switch v.N {
			case 100:
				return errors.New("out of luck")
			case 101:
				panic("boom")
			case 102:
				return kafka.Permanent(errors.New("unknown account"))
			}
			got.add(ev)
			return nil
		}))
		got.until(t, "the good record behind the poison", atLeast(1))
		require.NoError(t, r.wait())
		require.EqualValues(t, len(poison)+1, committedOffset(t, client, consumer, "orders", 0))

		letters := dump(t, cfg, "orders"+kafka.DLQSuffix, len(poison))
		for i, p := range poison {
			letter := letters[i]
			require.Equal(t, string(p.record.Key), string(letter.Key), p.name)
			require.Equal(t, p.record.Value, letter.Value, p.name)
			require.Equal(t, p.record.Value == nil, letter.Value == nil, p.name)
			require.GreaterOrEqual(t, len(letter.Headers), len(p.record.Headers), p.name)
			for i, h := range p.record.Headers {
				require.Equal(t, h, letter.Headers[i], p.name)
			}
			require.Equal(t, p.class, header(letter, kafka.DLQClassHeader), p.name)
			require.Contains(t, header(letter, kafka.DLQReasonHeader), p.reason, p.name)
			require.Equal(t, "orders", header(letter, kafka.DLQTopicHeader))
			require.Equal(t, "group", header(letter, kafka.DLQGroupHeader))
			attempts := map[string]string{"undecodable": "0", "permanent": "1", "failed": "3", "panic": "3"}[p.class]
			require.Equal(t, attempts, header(letter, kafka.DLQAttemptsHeader), p.name)
		}
	})
}

func TestOffsetStaysWhileTheDeadLetterTopicCannotBeWritten(t *testing.T) {
	t.Parallel()
	fake, cfg := cluster(t, 1, "orders", "orders.dlq")
	client := newClient(t, cfg)
	produce(t, client, "", event("orders", "a", 0), event("orders", "a", 1), event("orders", "a", 2))
	refusal := fake.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders.dlq", Err: kerr.TopicAuthorizationFailed, Count: -1,
	})
	consumer := consumerConfig(cfg, "orders")
	failures := make(chan error, 100)
	consumer.Hooks.DLQFailed = func(_ context.Context, _ kafka.Handling, err error) { failures <- err }
	got := newInbox()
	handler := func(_ context.Context, ev kafka.Received) error {
		if ev.ID == "a-1" {
			return kafka.Permanent(errors.New("poison"))
		}
		got.add(ev)
		return nil
	}
	r := run(t, consumer, handler)
	for range 3 {
		require.ErrorIs(t, await(t, "a failed write", failures), kerr.TopicAuthorizationFailed)
	}
	require.Len(t, got.all(), 1, "the record behind the poison waits")
	require.NoError(t, r.wait())
	require.EqualValues(t, 1, committedOffset(t, client, consumer, "orders", 0))

	refusal.Remove()
	run(t, consumer, handler)
	got.until(t, "the record behind the poison", atLeast(2))
	letters := dump(t, cfg, "orders.dlq", 1)
	require.Equal(t, "a-1", header(letters[0], "ce_id"))
}

func TestDeadLetterMayBeAsLargeAsItsRecord(t *testing.T) {
	t.Parallel()
	_, cfg := cluster(t, 1)
	client := newClient(t, kafka.Config{Brokers: cfg.Brokers, Options: []kgo.Opt{kgo.ProducerBatchMaxBytes(5 << 20)}})
	large := kafka.Topic{Name: "orders", Partitions: 1, DLQ: true, Configs: map[string]string{"max.message.bytes": "5000000"}}
	require.NoError(t, client.EnsureTopics(t.Context(), large))
	require.NoError(t, client.Native().ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: make([]byte, 3<<20)}).FirstErr())
	run(t, consumerConfig(cfg, "orders"), func(context.Context, kafka.Received) error { return nil })
	require.Len(t, dump(t, cfg, "orders.dlq", 1)[0].Value, 3<<20)
}
