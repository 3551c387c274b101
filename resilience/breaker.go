package resilience

import (
	"fmt"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// BreakerState is the state of a breaker; the numbers are the values of the metric mmf_breaker_state.
type BreakerState int

// The states.
const (
	// Closed lets calls pass and counts failures.
	Closed BreakerState = iota
	// HalfOpen lets a few probes pass.
	HalfOpen
	// Open lets nothing pass. The breaker becomes half-open with the first call after the cooldown.
	Open
)

// String names the state for logs and metric labels.
func (s BreakerState) String() string {
	names := [...]string{"closed", "half-open", "open"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("state(%d)", int(s))
	}
	return names[s]
}

// breaker decides who may pass. failsafe-go's breaker counts results and knows thresholds and cooldown; its own admission
// is not used, so that a permit can come back without a result and a result of an older state is recognised.
type breaker struct {
	policy string
	cfg    Breaker
	emit   func(StateChange)

	mu sync.Mutex
	cb circuitbreaker.CircuitBreaker[any]
	// generation grows with every transition; a permit of an older one no longer counts.
	generation uint64
	// probes are the permits of this half-open period, without those that came back ignored.
	probes int
	// forced is the ordered state until forcedUntil; nil when there is no order.
	forced      *BreakerState
	forcedUntil time.Time
	lastRecord  time.Time
	// pending transitions are delivered in order by whichever goroutine set delivering.
	pending    []StateChange
	delivering bool
}

func newBreaker(policy string, cfg Breaker, emit func(StateChange)) *breaker {
	return &breaker{policy: policy, cfg: cfg, emit: emit, cb: newCounter(cfg)}
}

func newCounter(cfg Breaker) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithFailureThresholdPeriod(uint(cfg.Failures), cfg.Window).
		WithSuccessThreshold(uint(cfg.Probes)).
		WithDelay(cfg.Cooldown).
		Build()
}

// permit allows one attempt; settle must be called with it exactly once.
type permit struct {
	generation uint64
	// free permits, given while forced closed or disabled, count for nothing.
	free bool
}

// admit gives a permit or an error that matches ErrOpen.
func (b *breaker) admit() (permit, error) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	now := time.Now()
	b.endOrderLocked(now)
	if b.forced != nil {
		if *b.forced == Open {
			return permit{}, b.refusal(b.forcedUntil.Sub(now))
		}
		return permit{free: true}, nil
	}
	if b.cfg.Disable {
		return permit{free: true}, nil
	}
	state := b.stateLocked()
	if state == Open {
		if wait := b.cb.RemainingDelay(); wait > 0 {
			return permit{}, b.refusal(wait)
		}
		b.cb.HalfOpen()
		b.movedLocked(Open, HalfOpen)
		state = HalfOpen
	}
	if state == HalfOpen {
		if b.probes >= b.cfg.Probes {
			return permit{}, b.refusal(0)
		}
		b.probes++
	}
	return permit{generation: b.generation}, nil
}

func (b *breaker) refusal(wait time.Duration) error {
	return &Error{Policy: b.policy, Kind: ErrOpen, retryAfter: wait}
}

// settle records what became of a permit. Results of an older state are dropped.
func (b *breaker) settle(p permit, outcome Outcome) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	now := time.Now()
	b.endOrderLocked(now)
	if p.free || p.generation != b.generation || b.forced != nil {
		return
	}
	before := b.stateLocked()
	if before == Closed && clockStepped(b.lastRecord, now, b.cfg.Window) {
		b.cb = newCounter(b.cfg)
	}
	b.lastRecord = now
	switch {
	case outcome.failed():
		b.cb.RecordFailure()
	case outcome == OutcomeSuccess || outcome == OutcomePermanent:
		b.cb.RecordSuccess()
	default:
		if before == HalfOpen {
			b.probes--
		}
		return
	}
	if after := b.stateLocked(); after != before {
		b.movedLocked(before, after)
	}
}

// force orders a state for a time; a transition is reported when the visible state changes.
func (b *breaker) force(state BreakerState, d time.Duration) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	now := time.Now()
	b.endOrderLocked(now)
	from := b.visibleLocked()
	b.forced, b.forcedUntil = &state, now.Add(d)
	b.generation++ // calls in flight were admitted under other rules
	b.probes = 0
	b.queueLocked(StateChange{From: from, To: state, Forced: true, At: now})
}

// release ends an order before its time.
func (b *breaker) release() {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	b.forcedUntil = time.Time{}
	b.endOrderLocked(time.Now())
}

func (b *breaker) endOrderLocked(now time.Time) {
	if b.forced == nil || now.Before(b.forcedUntil) {
		return
	}
	from := *b.forced
	b.forced = nil
	b.generation++
	b.queueLocked(StateChange{From: from, To: b.stateLocked(), Forced: true, At: now})
}

// visible returns the state, whether it is forced, and until when.
func (b *breaker) visible() (state BreakerState, forced bool, until time.Time) {
	b.mu.Lock()
	defer b.deliver()
	defer b.mu.Unlock()
	b.endOrderLocked(time.Now())
	if b.forced != nil {
		return *b.forced, true, b.forcedUntil
	}
	return b.stateLocked(), false, time.Time{}
}

func (b *breaker) visibleLocked() BreakerState {
	if b.forced != nil {
		return *b.forced
	}
	return b.stateLocked()
}

func (b *breaker) stateLocked() BreakerState {
	switch b.cb.State() {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	default:
		return Closed
	}
}

func (b *breaker) movedLocked(from, to BreakerState) {
	b.generation++
	b.probes = 0
	b.queueLocked(StateChange{From: from, To: to, At: time.Now()})
}

func (b *breaker) queueLocked(c StateChange) {
	if c.From != c.To && b.emit != nil {
		c.Policy = b.policy
		b.pending = append(b.pending, c)
	}
}

// deliver hands out pending transitions in order without holding the lock, so that a hook may call back into the policy.
func (b *breaker) deliver() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.delivering {
		return
	}
	b.delivering = true
	defer func() { b.delivering = false }() // also after a panic of the hook
	for len(b.pending) > 0 {
		next := b.pending[0]
		b.pending = b.pending[1:]
		func() {
			b.mu.Unlock()
			defer b.mu.Lock()
			b.emit(next)
		}()
	}
}

// clockStepped reports whether the wall clock and the monotonic clock disagree by more than half a window since the last
// record. failsafe-go's window slices wall time: after a step back it would keep failures for as long as the step, after
// a step forward it would drop them early.
func clockStepped(last, now time.Time, window time.Duration) bool {
	if last.IsZero() {
		return false
	}
	return stepped(now.Round(0).Sub(last.Round(0)), now.Sub(last), window)
}

func stepped(wall, monotonic, window time.Duration) bool {
	return (wall - monotonic).Abs() > window/2
}

// inherit takes over an order that is in force.
func (b *breaker) inherit(old *breaker) {
	old.mu.Lock()
	defer old.mu.Unlock()
	b.forced, b.forcedUntil = old.forced, old.forcedUntil
}
