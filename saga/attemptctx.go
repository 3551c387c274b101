package saga

import (
	"context"
	"sync"
	"time"
)

// attemptCtx is the context of an attempt: the values of its saga, a deadline, and an end that the engine can bring about
// with a cause. Most steps end before anybody waits for their context, so it makes a channel and a timer only for those who
// do; the standard library's contexts would register every attempt with their parents.
type attemptCtx struct {
	context.Context // values; never ends by itself

	mu       sync.Mutex
	deadline time.Time
	timer    *time.Timer
	done     chan struct{}
	err      error
	cause    error
	endedAt  time.Time
	after    map[*func()]struct{} // called, each in a goroutine, at the end
}

// begin sets the deadline; until then only cancel ends the context.
func (c *attemptCtx) begin(now time.Time, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = now.Add(timeout)
	if c.done != nil || len(c.after) > 0 {
		c.armLocked()
	}
}

func (c *attemptCtx) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline, !c.deadline.IsZero()
}

func (c *attemptCtx) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
		c.armLocked()
	}
	return c.done
}

func (c *attemptCtx) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	return c.err
}

// AfterFunc makes contexts that are derived from this one wait without a goroutine each; the standard library looks for it.
func (c *attemptCtx) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	c.after[&f] = struct{}{}
	c.armLocked()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

// cancel ends the context, unless it has ended.
func (c *attemptCtx) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(context.Canceled, cause)
}

// ended tells when and why the context ended, nil if it has not.
func (c *attemptCtx) ended() (at time.Time, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expireLocked()
	return c.endedAt, c.cause
}

// armLocked sees to it that the deadline is noticed by those who wait.
func (c *attemptCtx) armLocked() {
	if c.timer != nil || c.err != nil || c.deadline.IsZero() {
		return
	}
	c.timer = time.AfterFunc(time.Until(c.deadline), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.endLocked(context.DeadlineExceeded, context.DeadlineExceeded)
	})
}

func (c *attemptCtx) expireLocked() {
	if c.err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		c.endLocked(context.DeadlineExceeded, context.DeadlineExceeded)
	}
}

func (c *attemptCtx) endLocked(err, cause error) {
	if c.err != nil {
		return
	}
	c.err, c.cause, c.endedAt = err, cause, time.Now()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}
