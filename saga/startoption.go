package saga

import (
	"fmt"
	"time"
)

// StartOption varies how a saga is started. Options are not part of a saga's identity: starting it again under its ID with
// others returns the saga as it was started first.
type StartOption interface {
	applyStart(e *Engine, w *Write) error
}

// Place is where a saga waits before it begins; a [StartOption].
type Place struct {
	queue    *Queue
	key      string
	priority int
}

// In starts the saga into a queue of the engine: it is durable at once and begins when the queue admits it.
//
//	run, err := placeOrder.Start(ctx, engine, "o1", order, saga.In(orders).Key("customer-7").Priority(5))
func In(q *Queue) Place { return Place{queue: q} }

// Key makes sagas of the queue with the same key run one at a time, in the order of their priority and start. At most 200 bytes;
// empty: none.
func (p Place) Key(key string) Place {
	p.key = key
	return p
}

// Priority lets the saga overtake those of a lower one, as far as [QueueConfig.Aging] allows. Default 0; negative ones
// stand back.
func (p Place) Priority(level int) Place {
	p.priority = level
	return p
}

func (p Place) applyStart(e *Engine, w *Write) error {
	switch {
	case p.queue == nil:
		return fmt.Errorf("%w: the queue is nil", ErrNotRegistered)
	case e.queues[p.queue.kind()] != p.queue:
		return fmt.Errorf("%w: queue %q: put it into Config.Queues", ErrNotRegistered, p.queue.name)
	case len(p.key) > maxName || !isText(p.key):
		return fmt.Errorf("%w: key %.40q of the queue must be UTF-8 of at most %d bytes, without NUL", ErrInvalidID, p.key, maxName)
	case p.priority < -MaxPriority || p.priority > MaxPriority:
		return fmt.Errorf("saga: priority %d is not between -%d and %d", p.priority, MaxPriority, MaxPriority)
	}
	w.Ticket = &Ticket{Queue: p.queue.name, Key: p.key, HeadStart: time.Duration(p.priority) * p.queue.cfg.Aging}
	w.Sleep = untilAdmitted
	w.Records[0].Name, w.Records[0].Dedupe = p.queue.name, p.key
	return nil
}
