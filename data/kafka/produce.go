package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// outgoing is one message on its way: a record, or why there is none.
type outgoing struct {
	topic, key string
	record     *kgo.Record
	err        error
}

// produceInOrder sends messages and returns one answer per message. Of each topic and key it sends the next one only after the
// brokers acknowledged the one before: the brokers accept or refuse whole batches, and with several batches of one partition on
// their way a refused one does not stop the one behind it. Different keys travel together.
func (c *Client) produceInOrder(ctx context.Context, messages []outgoing) []error {
	type chain struct{ topic, key string }
	type ack struct {
		index int
		err   error
	}
	answers := make([]error, len(messages))
	waiting := make(map[chain][]int, len(messages))
	chainOf := func(i int) chain { return chain{messages[i].topic, messages[i].key} }
	for i := range messages {
		waiting[chainOf(i)] = append(waiting[chainOf(i)], i)
	}
	acks := make(chan ack, len(messages)) // one answer per message at most, so promises never wait
	outstanding := 0
	send := func(i int) {
		outstanding++
		if err := messages[i].err; err != nil {
			acks <- ack{i, err}
			return
		}
		c.client.Produce(ctx, messages[i].record, func(_ *kgo.Record, err error) { acks <- ack{i, err} })
	}
	for i := range messages {
		if waiting[chainOf(i)][0] == i {
			send(i)
		}
	}
	for outstanding > 0 {
		a := <-acks
		outstanding--
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
