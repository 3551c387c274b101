package kafka

import (
	"context"
	"time"
)

// Outcome is how a record ended. Its text is a metric label.
type Outcome string

// The outcomes.
const (
	OutcomeOK        Outcome = "ok"
	OutcomeDuplicate Outcome = "duplicate" // the handler returned ErrDuplicate
	OutcomeRetry     Outcome = "retry"     // an attempt failed and will be repeated
	OutcomeDLQ       Outcome = "dlq"       // written to the dead-letter topic
)

// Handling tells of one attempt (OutcomeRetry) or of a record's end (every other outcome).
type Handling struct {
	Group string
	// Event is what was decoded; without attributes when nothing was.
	Event   Received
	Outcome Outcome
	// Err is the failure behind OutcomeRetry and OutcomeDLQ; Class is its kind: failed, permanent, transient, panic or undecodable.
	Err   error
	Class string
	// Duration is that of the last attempt.
	Duration time.Duration
	// Backoff is the pause before the next attempt. Only with OutcomeRetry.
	Backoff time.Duration
}

// Rebalance tells of partitions that were assigned, revoked or lost.
type Rebalance struct {
	Group string
	// Kind is "assigned", "revoked", "lost", or "stopped" when Run ends.
	Kind string
	// Partitions are by topic, without the prefix.
	Partitions map[string][]int32
	// Drained is false when handlers were still running as the drain timeout ended. Always true with "assigned".
	Drained  bool
	Duration time.Duration
}

// Hooks observe a consumer. Each may be nil. They are called from several goroutines and hold up what they observe, so they must be
// quick and safe for concurrent use.
type Hooks struct {
	// Handled is called after each failed attempt and at the end of each record. The context is the handler's.
	Handled func(ctx context.Context, h Handling)
	// Lag is called at each commit interval, per partition owned: how many records are not yet handled.
	Lag func(group, topic string, partition int32, records int64)
	// DLQFailed is called each time that the dead-letter topic could not be written; the partition waits and tries again.
	DLQFailed func(ctx context.Context, h Handling, err error)
	// Rebalanced is called when a hand-over is complete.
	Rebalanced func(r Rebalance)
	// Failed is called for what the consumer survives by itself: failed fetches and commits.
	Failed func(group string, err error)
}

func (h Hooks) handled(ctx context.Context, x Handling) {
	if h.Handled != nil {
		h.Handled(ctx, x)
	}
}

func (h Hooks) lag(group, topic string, partition int32, records int64) {
	if h.Lag != nil {
		h.Lag(group, topic, partition, records)
	}
}

func (h Hooks) dlqFailed(ctx context.Context, x Handling, err error) {
	if h.DLQFailed != nil {
		h.DLQFailed(ctx, x, err)
	}
}

func (h Hooks) rebalanced(r Rebalance) {
	if h.Rebalanced != nil {
		h.Rebalanced(r)
	}
}

func (h Hooks) failed(group string, err error) {
	if h.Failed != nil {
		h.Failed(group, err)
	}
}
