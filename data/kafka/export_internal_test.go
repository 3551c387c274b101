package kafka

import (
	"context"

	"github.com/marty-framework/mmf/data"
)

// PublishEvents is Publish for tests that think in events.
func (c *Client) PublishEvents(ctx context.Context, events ...data.Event) []error {
	messages := make([]outgoing, len(events))
	for i, ev := range events {
		r, err := Encode(ev)
		if r != nil {
			r.Topic = c.cfg.Prefix + r.Topic
		}
		messages[i] = outgoing{topic: ev.Topic, key: ev.Key, record: r, err: Permanent(err)}
	}
	return c.produceInOrder(ctx, messages)
}
