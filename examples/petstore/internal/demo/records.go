package demo

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// record is what an independent Kafka client finds in a topic.
type record struct {
	Topic, Key string
	Header     map[string]string
}

// records reads everything that is in the topics now, with a client that shares nothing with the shop.
func (s *Shop) records(ctx context.Context, topics ...string) ([]record, error) {
	for i, topic := range topics {
		topics[i] = s.Kafka.Prefix + topic
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(s.Kafka.Brokers...), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka how long the topics are: %w", err)
	}
	missing := map[string]map[int32]int64{}
	open := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			if missing[o.Topic] == nil {
				missing[o.Topic] = map[int32]int64{}
			}
			missing[o.Topic][o.Partition] = o.Offset
			open++
		}
	})
	var all []record
	for open > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the topics: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			all = append(all, record{Topic: r.Topic[len(s.Kafka.Prefix):], Key: string(r.Key), Header: headers(r)})
			if end, ok := missing[r.Topic][r.Partition]; ok && r.Offset+1 >= end {
				delete(missing[r.Topic], r.Partition)
				open--
			}
		})
	}
	return all, nil
}

func headers(r *kgo.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

// orderEvents waits until n different events of the order are in the topic and returns their types in order.
func (s *Shop) orderEvents(ctx context.Context, orderID string, n int) ([]string, error) {
	return until(ctx, patience, func(ctx context.Context) ([]string, error) {
		found, err := s.records(ctx, platform.TopicOrderEvents)
		types, seen := []string{}, map[string]bool{}
		for _, r := range found {
			// The relay promises at least once: the same event twice has the same id.
			if r.Key == orderID && !seen[r.Header["ce_id"]] {
				seen[r.Header["ce_id"]] = true
				types = append(types, r.Header["ce_type"])
			}
		}
		return types, err
	}, func(types []string) bool { return len(types) >= n })
}

// correlated are all records of the shop that carry a correlation id, in any topic.
func (s *Shop) correlated(ctx context.Context, id string) ([]record, error) {
	found, err := s.records(ctx, platform.Topics()...)
	var ours []record
	for _, r := range found {
		if r.Header["correlation-id"] == id {
			ours = append(ours, r)
		}
	}
	return ours, err
}

// incomplete are the records that lack one of the headers.
func incomplete(records []record, names ...string) []string {
	lacking := []string{}
	for _, r := range records {
		for _, name := range names {
			if r.Header[name] == "" {
				lacking = append(lacking, fmt.Sprintf("%s of %s has no %s", r.Header["ce_type"], r.Topic, name))
			}
		}
	}
	return lacking
}

// distinct counts the different values of a header.
func distinct(records []record, value func(record) string) int {
	all := map[string]bool{}
	for _, r := range records {
		all[value(r)] = true
	}
	return len(all)
}
