package saga

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/marty-framework/mmf/data"
)

// Config holds an engine's settings. The zero value works.
type Config struct {
	// Node names this process in leases, logs and the journal. Default: the host's name. It need not be unique: every
	// start of an engine is an incarnation of its own.
	Node string
	// TTL is how long a node that stopped answering keeps its sagas, in database time. Default 10 s, at least 1 s. A node
	// beats every fifth of it, starts nothing after half of it without a confirmed beat, and drops its sagas after all of it.
	TTL time.Duration
	// Poll is how often the engine looks for mail that nobody told it of. Default 100 ms. What arises in this process is
	// noticed at once, and so is what other processes leave when the store lets them call each other; then the engine looks
	// only every twentieth Poll.
	Poll time.Duration
	// Concurrency is how many step attempts run at once in this process. Default 1,024.
	Concurrency int
	// TxConcurrency is how many transactional steps and dispatches run at once; keep it below the size of the database's
	// connection pool. Default 4.
	TxConcurrency int
	// Grace is how long a stopping engine waits for running attempts before it cancels them, and how long an attempt may keep
	// its saga from a node that joined. An attempt cancelled so counts for nothing and is repeated there. It is also how long
	// an attempt may go on after its context ended, by its timeout or because the saga turned back, before it is given up;
	// see [Hooks.Hung]. Default 10 s.
	Grace time.Duration
	// MaxPayload bounds an input, a result and a signal, in bytes of JSON. Default 1 MiB.
	MaxPayload int
	// Retention says how long sagas that have ended are remembered. Default: for ever.
	Retention Retention
	// UnknownVersionGrace is how long sagas of a definition that no process runs any more are left alone, as in a deploy, before
	// they count as parked, with a reason that says so. They go on as soon as some process runs their version again.
	// Default 10 min, at least 1 min.
	UnknownVersionGrace time.Duration
	// Queues are the queues into which this engine starts sagas, and whose limits it enforces while it owns them.
	Queues []*Queue
	// Schedules are the schedules whose sagas this engine starts while it owns them. Their definitions must be registered.
	Schedules []*Schedule
	// Publish writes the events of [Publish] nodes in the transaction of their record; pass an outbox's Write. Without it
	// definitions with Publish nodes are refused.
	Publish func(ctx context.Context, tx data.Tx, events ...data.Event) error
	// Inject writes trace headers of a start's context into the journal, Extract restores them into every step's context.
	// Correlation ids are carried without them.
	Inject  func(ctx context.Context, headers map[string]string)
	Extract func(ctx context.Context, headers map[string]string) context.Context
	// Around is called for every attempt of a step, in either direction, and calls attempt to carry it out: normally once,
	// with its own Ctx or one whose Context was exchanged. What it returns is the outcome of the attempt; without an error the
	// result is that of the last call; a call after Around returned counts for nothing. Test kits inject faults with it, tracers
	// open spans. It must be safe for concurrent use.
	Around func(c Ctx, attempt func(Ctx) error) error
	// Codec encodes the payloads of what is marked sensitive, before they reach the store; sagacodec makes one that encrypts.
	// Without it definitions with sensitive parts are refused. Every process that works for such sagas needs it, and keeps the
	// keys it wrote with for as long as sagas are remembered: the journal is never rewritten. Long payloads are compressed
	// with or without it, before they are encoded.
	Codec Codec
	// Hooks observe the engine; several sets of them are joined with [JoinHooks].
	Hooks Hooks
}

func (c Config) withDefaults() Config {
	if c.Node == "" {
		c.Node, _ = os.Hostname()
	}
	if c.TTL == 0 {
		c.TTL = 10 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = 100 * time.Millisecond
	}
	if c.Concurrency == 0 {
		c.Concurrency = 1024
	}
	if c.TxConcurrency == 0 {
		c.TxConcurrency = 4
	}
	if c.UnknownVersionGrace == 0 {
		c.UnknownVersionGrace = 10 * time.Minute
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Retention.Every == 0 {
		c.Retention.Every = time.Hour
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 1 << 20
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.TTL < time.Second {
		errs = append(errs, fmt.Errorf("TTL %s is shorter than 1 s", c.TTL))
	}
	if c.Poll < time.Millisecond {
		errs = append(errs, fmt.Errorf("poll interval %s is shorter than 1 ms", c.Poll))
	}
	if c.Concurrency < 1 || c.TxConcurrency < 1 {
		errs = append(errs, errors.New("concurrency limits must be positive"))
	}
	if c.UnknownVersionGrace < time.Minute {
		errs = append(errs, fmt.Errorf("UnknownVersionGrace %s is shorter than 1 min", c.UnknownVersionGrace))
	}
	if c.Grace < 0 {
		errs = append(errs, errors.New("grace must not be negative"))
	}
	if c.Retention.Keep < 0 || c.Retention.Every < time.Second {
		errs = append(errs, errors.New("Retention.Keep must not be negative, Retention.Every not shorter than 1 s"))
	}
	if c.MaxPayload < 1 {
		errs = append(errs, errors.New("MaxPayload must be positive"))
	}
	return errors.Join(errs...)
}
