package kafka

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// handle brings one record to its end: handled, or written to the dead-letter topic. False means neither: the partition has
// to be given up, and the record stays above the watermark.
func (p *partition) handle(r *kgo.Record) bool {
	cfg := &p.s.cfg
	ev, err := Decode(r)
	ev.Topic = strings.TrimPrefix(ev.Topic, cfg.Prefix)
	ctx := contextFor(p.ctx, ev, cfg.Extract)
	if err != nil {
		return p.deadLetter(ctx, r, Handling{Event: ev, Err: err, Class: string(classUndecodable)})
	}
	pause := backoff{next: cfg.FirstBackoff, limit: cfg.MaxBackoff}
	counted := 0
	for ev.Attempt = 1; ; ev.Attempt++ {
		began := time.Now()
		err := p.attempt(ctx, ev)
		h := Handling{Group: cfg.Group, Event: ev, Err: err, Duration: time.Since(began)}
		if err == nil || errors.Is(err, ErrDuplicate) {
			h.Outcome, h.Err = OutcomeOK, nil
			if err != nil {
				h.Outcome = OutcomeDuplicate
			}
			cfg.Hooks.handled(ctx, h)
			return true
		}
		kind := classify(err)
		h.Class = string(kind)
		if kind != classTransient {
			counted++
		}
		if kind == classPermanent {
			return p.deadLetter(ctx, r, h)
		}
		if p.stopping() {
			return false // the failure may be ours, by ending the context: the next owner decides
		}
		if counted >= cfg.MaxAttempts {
			return p.deadLetter(ctx, r, h)
		}
		h.Outcome, h.Backoff = OutcomeRetry, pause.take()
		cfg.Hooks.handled(ctx, h)
		if !p.wait(h.Backoff) {
			return false
		}
	}
}

func (p *partition) attempt(ctx context.Context, ev Received) error {
	ctx, cancel := context.WithTimeout(ctx, p.s.cfg.HandlerTimeout)
	defer cancel()
	return call(ctx, p.s.handler, ev)
}

// deadLetter tries until the dead-letter topic has the record or the partition has to be given up: were the offset to
// advance without it, the record would be lost.
func (p *partition) deadLetter(ctx context.Context, r *kgo.Record, h Handling) bool {
	cfg := &p.s.cfg
	h.Group, h.Outcome = cfg.Group, OutcomeDLQ
	pause := backoff{next: cfg.FirstBackoff, limit: cfg.MaxBackoff}
	for {
		err := p.s.dlq.write(ctx, r, h)
		if err == nil {
			cfg.Hooks.handled(ctx, h)
			return true
		}
		if p.ctx.Err() == nil {
			cfg.Hooks.dlqFailed(ctx, h, err)
		}
		if p.stopping() || !p.wait(pause.take()) {
			return false
		}
	}
}

// wait pauses and reports whether the partition is still to be worked on.
func (p *partition) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.stopCh:
		return false
	case <-timer.C:
		return true
	}
}

// backoff doubles up to a limit. What it hands out is shortened at random by up to half, so that partitions that failed together do
// not come back together.
type backoff struct{ next, limit time.Duration }

func (b *backoff) take() time.Duration {
	d := b.next
	b.next = min(2*b.next, b.limit)
	return d - rand.N(d/2+1)
}
