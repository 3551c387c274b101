package kafka

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers that a dead letter has beyond its original ones. A letter that is sent back and fails again has them once, about the last
// failure.
const (
	DLQTopicHeader     = "dlq-topic"     // where it came from, without the prefix
	DLQPartitionHeader = "dlq-partition" // its partition there
	DLQOffsetHeader    = "dlq-offset"    // its offset there
	DLQGroupHeader     = "dlq-group"     // the consumer group that gave up
	DLQClassHeader     = "dlq-class"     // failed, permanent, panic or undecodable
	DLQReasonHeader    = "dlq-reason"    // the error's text, cut at 2 KiB
	DLQAttemptsHeader  = "dlq-attempts"  // how often the handler was called
	DLQTimeHeader      = "dlq-time"      // when, RFC 3339
	dlqHeaderPrefix    = "dlq-"
	maxReason          = 2 << 10
)

// deadLetters writes records that nobody could handle, one at a time: a batch of several large ones could be refused for
// its size where each alone is not.
type deadLetters struct {
	client *kgo.Client
	prefix string
	token  chan struct{}
}

func newDeadLetters(client *kgo.Client, cfg ConsumerConfig) *deadLetters {
	return &deadLetters{client: client, prefix: cfg.Prefix, token: make(chan struct{}, 1)}
}

// write returns nil when the brokers have the letter. The record's key, value and headers go as they came.
func (d *deadLetters) write(ctx context.Context, r *kgo.Record, h Handling) error {
	select {
	case d.token <- struct{}{}:
		defer func() { <-d.token }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	letter := &kgo.Record{Topic: r.Topic + DLQSuffix, Key: r.Key, Value: r.Value, Headers: dlqHeaders(d.prefix, r, h)}
	if err := d.client.ProduceSync(ctx, letter).FirstErr(); err != nil {
		return fmt.Errorf("kafka: write to dead-letter topic %q: %w", letter.Topic, err)
	}
	return nil
}

func dlqHeaders(prefix string, r *kgo.Record, h Handling) []kgo.RecordHeader {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+8)
	for _, x := range r.Headers {
		if !strings.HasPrefix(x.Key, dlqHeaderPrefix) {
			headers = append(headers, x)
		}
	}
	reason := ""
	if h.Err != nil {
		reason = strings.ToValidUTF8(h.Err.Error(), "\uFFFD")
	}
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	for _, x := range [][2]string{
		{DLQTopicHeader, strings.TrimPrefix(r.Topic, prefix)},
		{DLQPartitionHeader, strconv.Itoa(int(r.Partition))},
		{DLQOffsetHeader, strconv.FormatInt(r.Offset, 10)},
		{DLQGroupHeader, h.Group},
		{DLQClassHeader, h.Class},
		{DLQReasonHeader, reason},
		{DLQAttemptsHeader, strconv.Itoa(h.Event.Attempt)},
		{DLQTimeHeader, time.Now().UTC().Format(time.RFC3339Nano)},
	} {
		headers = append(headers, kgo.RecordHeader{Key: x[0], Value: []byte(x[1])})
	}
	return headers
}
