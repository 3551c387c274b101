package resiliencehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/marty-framework/mmf/resilience"
)

// limit is the context of an attempt's request. It lives longer than the attempt, until the body is closed, but not past the
// attempt's deadline.
type limit struct {
	ctx    context.Context
	caller context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func newLimit(attempt, caller context.Context) *limit {
	l := &limit{caller: caller}
	l.ctx, l.cancel = context.WithCancelCause(caller)
	if deadline, ok := attempt.Deadline(); ok {
		l.timer = time.AfterFunc(time.Until(deadline), func() { l.cancel(resilience.ErrTimeout) })
	}
	return l
}

// lift takes the time limit off; the caller's context stays.
func (l *limit) lift() {
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *limit) end() {
	l.lift()
	l.cancel(nil)
}

// explain makes an error that the timer caused match ErrTimeout and DeadlineExceeded, as the transport saw only a cancel.
func (l *limit) explain(err error) error {
	if l.caller.Err() == nil && errors.Is(context.Cause(l.ctx), resilience.ErrTimeout) {
		return fmt.Errorf("resiliencehttp: %w: %w (%w)", resilience.ErrTimeout, context.DeadlineExceeded, err)
	}
	return err
}

// body ends the limit with the body.
type body struct {
	io.ReadCloser
	limit *limit
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.limit.explain(err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.limit.end()
	return err
}
