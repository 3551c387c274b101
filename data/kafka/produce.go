package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/marty-framework/mmf/data/outbox"
)

// Publish sends the records of an outbox and returns one answer per record: nil when all in-sync replicas have it, an error that
// matches [outbox.ErrPermanent] when the brokers will never take it, a [*SkippedError] when an earlier record of its topic and key
// failed, and any other error when sending it again may help or when the outcome is unknown: after [Config.DeliveryTimeout] or the end
// of ctx. Client is an [outbox.Publisher].
func (c *Client) Publish(ctx context.Context, records []outbox.Record) []error {
	messages := make([]outgoing, len(records))
	for i, r := range records {
		m := outgoing{topic: r.Topic, key: r.Key}
		if m.record, m.err = Encode(r.Event); m.err != nil {
			m.err = fmt.Errorf("%w: %w", outbox.ErrPermanent, m.err)
		} else {
			m.record.Topic = c.cfg.Prefix + r.Topic
			// The client counts DeliveryTimeout from the record's timestamp, and brokers their retention. An event may be older
			// than both when it gets here; when it happened is in its header. The client fills in the time of sending.
			m.record.Timestamp = time.Time{}
		}
		messages[i] = m
	}
	return c.produceInOrder(ctx, messages)
}

var _ outbox.Publisher = (*Client)(nil)

// outgoing is one message on its way: a record, or why there is none.
type outgoing struct {
	topic, key string
	record     *kgo.Record
	err        error
}

// produceInOrder sends messages and returns one answer per message. Of each topic and key it sends the next one only after the
// brokers acknowledged the one before: the brokers accept or refuse whole batches, and with several batches of one partition on
// their way a refused one does not stop the one behind it. Different keys travel together. For the same reason a refusal that blames
// the message is believed only when the message was alone in its batch, else its neighbours would share the blame.
func (c *Client) produceInOrder(ctx context.Context, messages []outgoing) []error {
	type chain struct{ topic, key string }
	type ack struct {
		index int
		err   error
		final bool
	}
	answers := make([]error, len(messages))
	waiting := make(map[chain][]int, len(messages))
	chainOf := func(i int) chain { return chain{messages[i].topic, messages[i].key} }
	for i := range messages {
		waiting[chainOf(i)] = append(waiting[chainOf(i)], i)
	}
	acks := make(chan ack, len(messages)) // one answer per chain is under way at most, so promises never wait
	outstanding := 0
	send := func(i int) {
		outstanding++
		if err := messages[i].err; err != nil {
			acks <- ack{i, err, true}
			return
		}
		c.client.Produce(ctx, messages[i].record, func(_ *kgo.Record, err error) { acks <- ack{i, err, !refusedForGood(err)} })
	}
	sendAlone := func(i int) {
		outstanding++
		go func() { acks <- ack{i, c.produceAlone(ctx, messages[i].record), true} }()
	}
	for i := range messages {
		if waiting[chainOf(i)][0] == i {
			send(i)
		}
	}
	for outstanding > 0 {
		a := <-acks
		outstanding--
		if !a.final {
			sendAlone(a.index)
			continue
		}
		answers[a.index] = a.err
		rest := waiting[chainOf(a.index)][1:]
		waiting[chainOf(a.index)] = rest
		switch {
		case len(rest) == 0:
		case a.err == nil:
			send(rest[0])
		default:
			for _, i := range rest {
				answers[i] = &SkippedError{Cause: a.err}
			}
		}
	}
	return answers
}

// produceAlone sends a record by a producer that has one record at a time, so that the brokers' answer is about this one.
func (c *Client) produceAlone(ctx context.Context, r *kgo.Record) error {
	select {
	case c.aloneToken <- struct{}{}:
		defer func() { <-c.aloneToken }()
	case <-ctx.Done():
		return ctx.Err()
	}
	again := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers} // without the time of the first attempt: see Encode
	err := c.alone.ProduceSync(ctx, again).FirstErr()
	if refusedForGood(err) {
		return fmt.Errorf("%w: %w", outbox.ErrPermanent, err)
	}
	return err
}
