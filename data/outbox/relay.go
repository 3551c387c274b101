package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// RelayConfig of a [Relay]. The zero value is a sensible default.
type RelayConfig struct {
	// Batch is how many events are handed to the publisher at once. Default 256, 1 to 10,000.
	Batch int
	// Poll is the longest pause between two looks into the database when there is nothing to do; it is what an event
	// written by another process waits at most. Events of this process are noticed within milliseconds. Default 500 ms.
	Poll time.Duration
	// Lease is how long a relay that died keeps the others waiting, in database time. Default 15 s, at least 100 ms.
	Lease time.Duration
	// PublishTimeout bounds one call of the publisher. Default, and at most, two thirds of Lease, so that a relay whose
	// publisher hangs normally ends before its successor begins.
	PublishTimeout time.Duration
	// RetryMin and RetryMax bound the pause of a key whose event failed; it doubles with each failure and is chosen at
	// random in its upper half. Defaults 100 ms and 5 s.
	RetryMin, RetryMax time.Duration
	// Retention is how long sent events stay in the table, for their ids to be recognised and for audits.
	// Default 24 h; negative: forever.
	Retention time.Duration
	// Hooks observe the relay.
	Hooks Hooks
}

// Hooks are called from the relay's goroutine; they must not block. Each may be nil.
type Hooks struct {
	// Published: the broker acknowledged an event, and it is marked; latency counts from its writing, by the database's
	// clock.
	Published func(ctx context.Context, ev data.Event, latency time.Duration)
	// Failed: an event could not be published. parked tells whether the relay gave up on it.
	Failed func(ctx context.Context, ev data.Event, attempt int, parked bool, err error)
	// LeaseLost: another relay took over while this one published; what it published is repeated by the other.
	LeaseLost func(ctx context.Context, events int)
	// Error: the database failed, or the publisher broke its contract. The relay goes on.
	Error func(ctx context.Context, err error)
}

func (c RelayConfig) withDefaults() RelayConfig {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Batch == 0 {
		c.Batch = 256
	}
	def(&c.Poll, 500*time.Millisecond)
	def(&c.Lease, 15*time.Second)
	def(&c.PublishTimeout, c.Lease*2/3)
	def(&c.RetryMin, 100*time.Millisecond)
	def(&c.RetryMax, 5*time.Second)
	def(&c.Retention, 24*time.Hour)
	return c
}

func (c RelayConfig) validate() error {
	var errs []error
	if c.Batch < 1 || c.Batch > 10_000 {
		errs = append(errs, fmt.Errorf("RelayConfig.Batch is %d: it must lie between 1 and 10,000", c.Batch))
	}
	if c.Poll < time.Millisecond {
		errs = append(errs, fmt.Errorf("RelayConfig.Poll is %s: it must be at least 1ms", c.Poll))
	}
	if c.Lease < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("RelayConfig.Lease is %s: it must be at least 100ms", c.Lease))
	}
	if c.PublishTimeout <= 0 || c.PublishTimeout > c.Lease*2/3 {
		errs = append(errs, fmt.Errorf("RelayConfig.PublishTimeout is %s: it must be positive and at most two thirds of Lease, %s",
			c.PublishTimeout, c.Lease*2/3))
	}
	if c.RetryMin <= 0 || c.RetryMax < c.RetryMin {
		errs = append(errs, fmt.Errorf("RelayConfig.RetryMin %s and RetryMax %s must be positive and in this order", c.RetryMin, c.RetryMax))
	}
	if len(errs) > 0 {
		return fmt.Errorf("outbox: invalid configuration: %w", errors.Join(errs...))
	}
	return nil
}

// Relay hands written events to a publisher; make one with [NewRelay]. Several may run on one database.
type Relay struct {
	cfg       RelayConfig
	box       *Outbox
	db        data.DB
	publisher Publisher
	// owner identifies this relay in the lease.
	owner string
	// purgeAt is when sent rows are looked through next. Only Run's goroutine uses it.
	purgeAt time.Time
}

// NewRelay makes a relay for the events that box writes to db. It starts nothing: see [Relay.Run].
func NewRelay(cfg RelayConfig, box *Outbox, db data.DB, publisher Publisher) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if box == nil || db == nil || publisher == nil {
		return nil, errors.New("outbox: NewRelay needs an Outbox, a database and a Publisher")
	}
	return &Relay{cfg: cfg, box: box, db: db, publisher: publisher, owner: uuidv7.New().String()}, nil
}

// firstPause is how soon the relay looks again after it was nudged or had work: what was written may not be committed
// yet. The pause then doubles up to Poll.
const firstPause = time.Millisecond

// Run relays until ctx ends, then finishes the call of the publisher that is under way, within PublishTimeout, gives the
// lease back, and returns nil. Failures of the database and of the broker are reported to the hooks and tried again
// forever. Call it once per Relay.
func (r *Relay) Run(ctx context.Context) error {
	defer r.release(ctx)
	pause := firstPause
	for ctx.Err() == nil {
		progressed, err := r.step(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			r.report(ctx, err)
			pause = max(pause, r.cfg.RetryMin)
		case progressed:
			pause = firstPause
			continue
		}
		if r.sleep(ctx, pause) {
			pause = firstPause
		} else {
			pause = min(2*pause, r.cfg.Poll)
		}
	}
	return nil
}

// sleep waits for the pause to end or for a nudge; it reports a nudge.
func (r *Relay) sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-r.box.hint:
		return true
	case <-ctx.Done():
		return false
	}
}

// step claims a batch, publishes it and records the answers. progressed says that at least one event was sent or parked.
func (r *Relay) step(ctx context.Context) (progressed bool, err error) {
	var (
		epoch int64
		batch []claimed
	)
	work, err := r.peek(ctx)
	if err == nil && work {
		epoch, batch, err = r.claim(ctx)
	}
	if err != nil {
		return false, err
	}
	if len(batch) == 0 {
		return false, r.purge(ctx)
	}
	// From here on the work ends in order even if ctx does: an acknowledged event that stays unmarked is a repetition.
	ctx = context.WithoutCancel(ctx)
	answers := r.publish(ctx, batch)
	// If we die here, the events were published and are published again by the next relay, in the same order.
	outcome := sortAnswers(batch, answers)
	fenced, err := r.record(ctx, epoch, outcome)
	switch {
	case err != nil:
		return false, err
	case fenced:
		if r.cfg.Hooks.LeaseLost != nil {
			r.cfg.Hooks.LeaseLost(ctx, len(batch))
		}
		return false, nil
	}
	r.tell(ctx, outcome)
	return len(outcome.sent)+len(outcome.parked) > 0, nil
}

// publish calls the publisher and makes sure that there is one answer per record.
func (r *Relay) publish(ctx context.Context, batch []claimed) []error {
	records := make([]Record, len(batch))
	for i, c := range batch {
		records[i] = Record{Event: c.event, Attempt: c.attempts + 1}
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.PublishTimeout)
	defer cancel()
	answers := r.publisher.Publish(ctx, records)
	if len(answers) != len(batch) {
		err := fmt.Errorf("outbox: the publisher gave %d answers for %d events: none of them counts", len(answers), len(batch))
		r.report(ctx, err)
		answers = make([]error, len(batch))
		for i := range answers {
			answers[i] = err
		}
	}
	return answers
}

// result is a claimed event with what became of it.
type result struct {
	claimed
	err error
}

// outcome sorts a batch: failed holds only the first failure of each key, those behind it stay as they are.
type outcome struct{ sent, parked, failed []result }

func sortAnswers(batch []claimed, answers []error) outcome {
	var out outcome
	type lane struct{ topic, key string }
	blocked := map[lane]bool{}
	for i, c := range batch {
		l, res := lane{c.event.Topic, c.event.Key}, result{c, answers[i]}
		switch {
		case res.err == nil:
			out.sent = append(out.sent, res)
		case blocked[l]:
		case errors.Is(res.err, ErrPermanent):
			out.parked = append(out.parked, res)
			blocked[l] = true
		default:
			out.failed = append(out.failed, res)
			blocked[l] = true
		}
	}
	return out
}

// retryAfter doubles with each attempt; the random half keeps keys that failed together from coming back together.
func (r *Relay) retryAfter(attempts int) time.Duration {
	bound := r.cfg.RetryMin
	for range attempts {
		if bound *= 2; bound >= r.cfg.RetryMax {
			bound = r.cfg.RetryMax
			break
		}
	}
	return bound/2 + rand.N(bound/2+1)
}

func (r *Relay) tell(ctx context.Context, out outcome) {
	h := r.cfg.Hooks
	for _, s := range out.sent {
		if h.Published != nil {
			h.Published(ctx, s.event, s.age)
		}
	}
	for _, p := range out.parked {
		if h.Failed != nil {
			h.Failed(ctx, p.event, p.attempts+1, true, p.err)
		}
	}
	for _, f := range out.failed {
		if h.Failed != nil {
			h.Failed(ctx, f.event, f.attempts+1, false, f.err)
		}
	}
}

func (r *Relay) report(ctx context.Context, err error) {
	if r.cfg.Hooks.Error != nil {
		r.cfg.Hooks.Error(ctx, err)
	}
}
