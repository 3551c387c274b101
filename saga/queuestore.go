package saga

import (
	"context"
	"time"
)

// QueueStore is what a [Store] can do for queues; both SQL stores do. sagatest.ExerciseQueues proves another implementation.
//
// A saga whose first [Write] has a [Ticket] waits in the queue until Admit lets it begin, by leaving mail of the kind
// [MailAdmit] in the same commit. A write that ends it has Leave set and gives its place up.
type QueueStore interface {
	// Admit lets waiting sagas begin, as many as the limits allow now, in one commit: those whose HeadStart plus time of waiting
	// is largest, by the database's clock, and of each key only one at a time. It may admit fewer than the limits allow and
	// then says that there is More. The lane must be the queue's; an error matches ErrFenced when the lease or the lane is lost.
	// Called at the same time for one queue, even with different limits, it never exceeds the larger ones.
	Admit(ctx context.Context, l Lease, lane Lane, limits QueueLimits) (Admission, error)
	// QueueStats counts what stands in the queues.
	QueueStats(ctx context.Context, queues []string) ([]QueueStats, error)
}

// Ticket is the place of a saga that waits in a queue.
type Ticket struct {
	Queue     string
	Key       string        // sagas of the same key are admitted one at a time; empty: none
	HeadStart time.Duration // how much longer it counts as having waited
}

// QueueLimits are the numbers of a queue that hold for one call of Admit.
type QueueLimits struct {
	Queue       string
	Concurrency int           // 0: any
	Interval    time.Duration // between admissions, on average; 0: none
	Burst       int           // how many may be admitted at once after a pause; at least 1 if there is an interval
}

// Admission is what a call of Admit did.
type Admission struct {
	Admitted int
	More     bool          // more could be done at once
	Next     time.Duration // sagas wait for the rate, which lets the next one begin after this time; 0: none does
}

// QueueStats counts what stands in a queue.
type QueueStats struct {
	Queue   string
	Waiting int
	Running int
	Oldest  time.Duration // how long the first to come of those that wait has waited
}
