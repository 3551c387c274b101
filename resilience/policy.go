package resilience

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Policy guards one dependency. It is safe for concurrent use, holds no goroutines and needs no closing.
type Policy struct {
	name string

	mu   sync.Mutex // serialises Update
	core atomic.Pointer[core]
}

// core is one generation of settings with the state that belongs to them. Calls in flight finish with the core they began with.
type core struct {
	cfg      Config
	breaker  *breaker
	bulkhead *bulkhead
	budget   *budget
}

// New makes a policy with its own state. The error joins all problems of cfg.
func New(cfg Config) (*Policy, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	p := &Policy{name: cfg.Name}
	p.core.Store(p.build(cfg, nil))
	return p, nil
}

// Name is the policy's name.
func (p *Policy) Name() string { return p.name }

// Update applies new settings to calls that begin from now on. State lives on where its settings did not change: a new
// Window gives a fresh, closed breaker (an order by ForceOpen or ForceClosed stays), a new Timeout does not. While calls
// that began under another Bulkhead.Max finish, the sum may exceed the new bound. Functions that cfg does not set, as it
// cannot when it was read from a file, stay as they were. On an error, which joins all problems, nothing changes. The
// name must stay.
func (p *Policy) Update(cfg Config) error {
	old := p.core.Load().cfg
	cfg.Hooks = cfg.Hooks.orElse(old.Hooks)
	if cfg.Classify == nil {
		cfg.Classify = old.Classify
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.Name != p.name {
		return fmt.Errorf("resilience: policy %q: cannot be renamed to %q", p.name, cfg.Name)
	}
	before := p.State()
	p.replace(cfg)
	if after := p.State(); after.Breaker != before.Breaker {
		p.stateChanged(StateChange{Policy: p.name, From: before.Breaker, To: after.Breaker, Forced: true, At: time.Now()})
	}
	return nil
}

func (p *Policy) replace(cfg Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.core.Store(p.build(cfg, p.core.Load()))
}

func (p *Policy) build(cfg Config, old *core) *core {
	c := &core{cfg: cfg}
	if old != nil {
		c.breaker, c.bulkhead, c.budget = old.breaker, old.bulkhead, old.budget
	}
	if c.breaker == nil || old.cfg.Breaker != cfg.Breaker {
		c.breaker = newBreaker(p.name, cfg.Breaker, p.stateChanged)
		if old != nil {
			c.breaker.inherit(old.breaker)
		}
	}
	if c.bulkhead == nil || old.cfg.Bulkhead != cfg.Bulkhead {
		c.bulkhead = newBulkhead(p.name, cfg.Bulkhead)
	}
	if c.budget == nil || old.cfg.Retry.Budget != cfg.Retry.Budget {
		c.budget = newBudget(cfg.Retry.Budget)
	}
	return c
}

func (p *Policy) stateChanged(c StateChange) {
	if hook := p.core.Load().cfg.Hooks.StateChange; hook != nil {
		hook(c)
	}
}

// State is a policy's state at one moment, for metrics, health pages and consoles.
type State struct {
	Policy  string
	Breaker BreakerState
	// Forced says that Breaker was ordered and holds until ForcedUntil.
	Forced      bool
	ForcedUntil time.Time
	// InFlight is the number of attempts that run now; Limit is the bulkhead's bound, 0 for none.
	InFlight, Limit int
	// RetryTokens is what is left of the retry budget, 0 to 10.
	RetryTokens float64
}

// State returns the state of the moment. An open breaker whose cooldown has passed stays open until the next call.
func (p *Policy) State() State {
	c := p.core.Load()
	s := State{Policy: p.name, InFlight: int(c.bulkhead.inFlight.Load()), Limit: c.cfg.Bulkhead.Max, RetryTokens: c.budget.level()}
	s.Breaker, s.Forced, s.ForcedUntil = c.breaker.visible()
	return s
}

// ForceOpen makes the policy refuse every call for d, then return to where the breaker was. d must be positive and at
// most 24 hours, so that an order given in haste cannot be forgotten.
func (p *Policy) ForceOpen(d time.Duration) error { return p.force(Open, d) }

// ForceClosed lets every call pass for d, whatever the results. Limits as [Policy.ForceOpen].
func (p *Policy) ForceClosed(d time.Duration) error { return p.force(Closed, d) }

// Unforce ends an order before its time; without one it does nothing.
func (p *Policy) Unforce() {
	p.order((*breaker).release)
}

// order gives an order to the breaker, and again if an Update put another in its place meanwhile. No lock is held, as
// hooks run in it.
func (p *Policy) order(give func(*breaker)) {
	for {
		b := p.core.Load().breaker
		give(b)
		if p.core.Load().breaker == b {
			return
		}
	}
}

func (p *Policy) force(s BreakerState, d time.Duration) error {
	if d <= 0 || d > 24*time.Hour {
		return fmt.Errorf("resilience: policy %q: force %v for %v: the time must be above 0 and at most 24h", p.name, s, d)
	}
	p.order(func(b *breaker) { b.force(s, d) })
	return nil
}

// attempt runs fn once under breaker, bulkhead and timeout. ran is false when fn was not called.
func (c *core) attempt(ctx context.Context, fn func(context.Context) error) (outcome Outcome, ran bool, err error) {
	permit, err := c.breaker.admit()
	if err != nil {
		return OutcomeOpen, false, err
	}
	// A panic or Goexit of fn, or of Classify, leaves this at ignored: it tells about this process, not about the dependency.
	settled := OutcomeIgnored
	defer func() { c.breaker.settle(permit, settled) }()

	if err := c.bulkhead.acquire(ctx); err != nil {
		if ctx.Err() != nil {
			return OutcomeIgnored, false, c.canceled(ctx, err)
		}
		return OutcomeRejected, false, err
	}
	defer c.bulkhead.release()
	if err := ctx.Err(); err != nil { // no attempt begins after the caller is gone
		return OutcomeIgnored, false, c.canceled(ctx, err)
	}

	attemptCtx := ctx
	if !c.cfg.DisableTimeout {
		var cancel context.CancelFunc
		attemptCtx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	err = fn(attemptCtx)
	switch {
	case err != nil && ctx.Err() != nil:
		outcome = OutcomeIgnored
	case err != nil && attemptCtx.Err() != nil:
		outcome = OutcomeTimeout
		err = &Error{Policy: c.cfg.Name, Kind: ErrTimeout, Err: err}
	default:
		outcome = c.classify(err)
	}
	settled = outcome
	return outcome, true, err
}

func (c *core) classify(err error) Outcome {
	switch o := c.cfg.Classify(err); o {
	case OutcomeSuccess, OutcomePermanent, OutcomeIgnored:
		return o
	default:
		return OutcomeFailure
	}
}

func (c *core) canceled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && cause != err { //nolint:errorlint // identity: is there more to tell?
		return fmt.Errorf("resilience: policy %q: %w: %w", c.cfg.Name, err, cause)
	}
	return fmt.Errorf("resilience: policy %q: %w", c.cfg.Name, err)
}
