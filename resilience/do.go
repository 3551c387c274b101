package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Option varies one call.
type Option interface{ apply(*callOptions) }

type callOptions struct{ idempotent bool }

type optionFunc func(*callOptions)

func (f optionFunc) apply(o *callOptions) { f(o) }

// Idempotent says that carrying the call out twice has the effect of carrying it out once, so that it may be repeated:
// reads, writes under an idempotency key. Without it a call is attempted once.
func Idempotent() Option { return optionFunc(func(o *callOptions) { o.idempotent = true }) }

// Do calls fn under the policy and returns what its last attempt returned; on any error the result is the zero value. fn
// must obey its context, which ends with the policy's timeout. Do may call fn several times, one after the other, if the
// call is [Idempotent].
//
// Errors to test for: [ErrOpen], [ErrRejected], [ErrTimeout]; [context.Canceled] and [context.DeadlineExceeded] of ctx;
// and fn's own.
func Do[R any](ctx context.Context, p *Policy, fn func(context.Context) (R, error), opts ...Option) (R, error) {
	result, _, err := do(ctx, p, fn, opts)
	return result, err
}

// DoOr is [Do] with a fallback for when the dependency failed, timed out, or was not asked because of an open breaker or
// a full bulkhead. A permanent error and a caller that gave up get no fallback. The fallback has ctx without the policy's
// timeout; its error is returned joined with the one that led to it.
func DoOr[R any](ctx context.Context, p *Policy, fn func(context.Context) (R, error),
	fallback func(context.Context, error) (R, error), opts ...Option,
) (R, error) {
	result, outcome, err := do(ctx, p, fn, opts)
	if err == nil || p == nil || !outcome.degrades() {
		return result, err
	}
	result, fallbackErr := fallback(ctx, err)
	if hook := p.core.Load().cfg.Hooks.Fallback; hook != nil {
		hook(ctx, FallbackEvent{Policy: p.name, Cause: err, Err: fallbackErr})
	}
	if fallbackErr != nil {
		var zero R
		return zero, errors.Join(fmt.Errorf("resilience: policy %q: fallback: %w", p.name, fallbackErr), err)
	}
	return result, nil
}

func do[R any](ctx context.Context, p *Policy, fn func(context.Context) (R, error), opts []Option) (R, Outcome, error) {
	var result, zero R
	if p == nil {
		return zero, OutcomeIgnored, errors.New("resilience: the policy is nil")
	}
	outcome, err := p.run(ctx, func(ctx context.Context) (err error) {
		result, err = fn(ctx)
		return err
	}, opts)
	if err != nil {
		return zero, outcome, err
	}
	return result, outcome, nil
}

// run is the part that does not depend on the result's type: attempts, waits, and events.
func (p *Policy) run(ctx context.Context, fn func(context.Context) error, opts []Option) (Outcome, error) {
	var o callOptions
	for _, opt := range opts {
		opt.apply(&o)
	}
	c := p.core.Load()
	start := time.Now()
	outcome, attempts, err := c.attempts(ctx, fn, o.idempotent)
	if hook := c.cfg.Hooks.Call; hook != nil {
		hook(ctx, CallEvent{Policy: p.name, Outcome: outcome, Attempts: attempts, Duration: time.Since(start), Err: err})
	}
	return outcome, err
}

func (c *core) attempts(ctx context.Context, fn func(context.Context) error, idempotent bool) (Outcome, int, error) {
	c.budget.deposit()
	if err := ctx.Err(); err != nil {
		return OutcomeIgnored, 0, c.canceled(ctx, err)
	}
	var (
		attempts int
		previous error // the last error of fn, told together with a refusal that ended the repetitions
	)
	for {
		outcome, ran, err := c.attempt(ctx, fn)
		if ran {
			attempts++
		} else {
			c.refused(ctx, outcome)
			if previous != nil {
				err = errors.Join(err, previous)
			}
		}
		if !idempotent || c.cfg.Retry.Disable || !outcome.failed() || attempts > c.cfg.Retry.Max {
			return outcome, attempts, err
		}
		delay, ok := c.cfg.Retry.delay(attempts, retryAfter(err))
		if deadline, has := ctx.Deadline(); !ok || (has && time.Until(deadline) <= delay) {
			return outcome, attempts, err // the caller would not live to see it
		}
		if !c.budget.withdraw() {
			if hook := c.cfg.Hooks.Rejection; hook != nil {
				hook(ctx, RejectionEvent{Policy: c.cfg.Name, Reason: ReasonBudget})
			}
			return outcome, attempts, err
		}
		if hook := c.cfg.Hooks.Retry; hook != nil {
			hook(ctx, RetryEvent{Policy: c.cfg.Name, Attempt: attempts, Delay: delay, Err: err})
		}
		if waitErr := sleep(ctx, delay); waitErr != nil {
			return OutcomeIgnored, attempts, errors.Join(c.canceled(ctx, waitErr), err)
		}
		previous = err
	}
}

func (c *core) refused(ctx context.Context, outcome Outcome) {
	hook := c.cfg.Hooks.Rejection
	if hook == nil {
		return
	}
	switch outcome {
	case OutcomeOpen:
		hook(ctx, RejectionEvent{Policy: c.cfg.Name, Reason: ReasonOpen})
	case OutcomeRejected:
		hook(ctx, RejectionEvent{Policy: c.cfg.Name, Reason: ReasonBulkhead})
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
