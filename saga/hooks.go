package saga

import (
	"context"
	"time"
)

// Hooks observe the engine, for telemetry. Every field is optional; one that is nil costs nothing. They are called from the
// engine's own goroutines, several at once, and must return quickly. The context carries the saga's correlation ids and trace;
// it may already have ended, so it is no context to do work with. sagaotel makes hooks for traces and metrics, [LogHooks] for
// log lines, [JoinHooks] one set of several.
type Hooks struct {
	// Starting is called before a saga is started. Its context is the one whose trace headers [Config.Inject] writes into the
	// journal, so a span begun here is the parent of everything the saga does. The func, if any, is called when the attempt to
	// start is over, with its error.
	Starting func(ctx context.Context, e SagaEvent) (context.Context, func(error))
	// Started is called when a saga is durable, by the process that works for it; for one that was started elsewhere, when it
	// is first seen. After an error of the store it may be called again.
	Started func(ctx context.Context, e SagaEvent)
	// Attempting is called before every attempt of a step. The step's function gets the context it returns.
	Attempting func(ctx context.Context, e AttemptEvent) context.Context
	// Attempted is called once for every Attempting, with its context, when the step's function returned; if it never does,
	// never. In a transactional step the transaction is over by then.
	Attempted func(ctx context.Context, e AttemptEvent)
	// Hung is called when an attempt of a step ignores its context and is given up, [Config.Grace] after that ended. It
	// counts as failed and is repeated or compensated, while its function goes on: its result is dropped, its effect may still
	// come, its goroutine is lost until it returns. Mend the function, or the callee, so that it ends with its context.
	Hung func(ctx context.Context, e AttemptEvent)
	// Waited is called when the wait of an await, a sleep or a remote step is over.
	Waited func(ctx context.Context, e WaitEvent)
	// Unknown is called when the outcome of a step is given up as unknown, so that it is compensated.
	Unknown func(ctx context.Context, e SagaEvent)
	// TurnedBack is called when a saga begins to compensate: Step and Reason say why.
	TurnedBack func(ctx context.Context, e SagaEvent)
	// Admitted is called when a saga that waited in a queue begins; Duration is how long it waited.
	Admitted func(ctx context.Context, e SagaEvent)
	// Finished is called when a saga reached a terminal outcome.
	Finished func(ctx context.Context, e SagaEvent)
	// Parked is called when a saga needs somebody's help.
	Parked func(ctx context.Context, e SagaEvent)
	// Refused is called when a signal is dropped because it came too late: Step is the await whose deadline had passed, if
	// that is why, and Reason says it. After an error of the store it may be called again for the same signal.
	Refused func(ctx context.Context, e SagaEvent)
	// Violated is called when a record that is about to be written contradicts what was promised: a defect of the engine, of
	// which Reason says what is wrong. The engine goes on.
	Violated func(ctx context.Context, e SagaEvent)
	// Flushed is called after every commit of the journal's writer, and after every try that failed.
	Flushed func(ctx context.Context, e FlushEvent)
	// Recovered is called when this node took over lanes, with the number of live sagas of each definition found in them.
	Recovered func(ctx context.Context, e NodeEvent)
	// Strayed is called when sagas of a definition that no process runs any more are counted as parked; see
	// [Config.UnknownVersionGrace].
	Strayed func(ctx context.Context, e NodeEvent)
	// Fenced is called when another node took over this node's sagas, for each definition of which it had lanes.
	Fenced func(ctx context.Context, e NodeEvent)
	// Purged is called when a round of this node forgot sagas by [Config.Retention], or could not because they live.
	Purged func(ctx context.Context, p Purged)
	// Skipped is called when times of a schedule passed for which no saga is started, except while it is paused.
	Skipped func(ctx context.Context, e ScheduleEvent)
	// Failed is called with errors that the engine survives: a store that does not answer, a journal that does not decode.
	Failed func(ctx context.Context, err error)
}

// SagaEvent describes a saga to a hook.
type SagaEvent struct {
	Saga     string
	Version  int
	ID       ID
	Outcome  Outcome // of Finished
	Step     string  // where it parked or what made it turn back
	Reason   string
	Duration time.Duration // since the start, of Finished and Admitted
	Queue    string        // in which it was started
}

// AttemptEvent describes one attempt of a step to a hook.
type AttemptEvent struct {
	Saga      string
	ID        ID
	Step      string
	Direction Direction
	Attempt   int
	// Outcome, empty before the attempt, is done, rejected, failed, unknown (given up), sent (a remote command was written), or
	// void: it counts for nothing, because this process stops or the result came after it was given up.
	Outcome  string
	Err      error
	Duration time.Duration
}

// WaitEvent describes a wait that is over.
type WaitEvent struct {
	Saga     string
	ID       ID
	Step     string
	Kind     string // await, sleep, remote
	Outcome  string // done, rejected, expired
	Began    time.Time
	Duration time.Duration
}

// FlushEvent describes one commit of the journal's writer.
type FlushEvent struct {
	Writes   int // sagas
	Records  int
	Bytes    int // of payloads and their surroundings, roughly
	Waiting  int // writes that wait for the next commit
	Duration time.Duration
	Err      error
}

// NodeEvent describes what a node won or lost of one definition.
type NodeEvent struct {
	Saga    string // the definition's name
	Version int    // of Strayed
	Sagas   int    // of Recovered: how many live sagas it took over; of Strayed: how many count as parked now
	Lanes   int    // of Fenced: how many lanes it had
}

// ScheduleEvent describes times of a schedule that were skipped.
type ScheduleEvent struct {
	Schedule string
	At       time.Time // the last of them
	Times    int       // how many
	Reason   string
}
