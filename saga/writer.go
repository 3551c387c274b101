package saga

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
)

// writer is the one path on which this node appends: it takes whatever waits and writes it in one commit; the next flush
// takes what arrived meanwhile. There is no timer and no minimum, so a lone write goes at once.
type writer struct {
	w     *worker
	queue chan *queued

	writes []Write // of a flush, to use again
}

type queued struct {
	write Write
	size  int
	done  chan error
}

const (
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
)

func newWriter(w *worker) *writer { return &writer{w: w, queue: make(chan *queued, 2*maxBatch)} }

// append returns when the write is durable or refused. Whoever appends uses the same q every time.
func (wr *writer) append(q *queued, write Write) error {
	if wr.w.ctx.Err() != nil { // q may still be in use
		return errors.Join(ErrFenced, context.Cause(wr.w.ctx))
	}
	if q.done == nil {
		q.done = make(chan error, 1)
	}
	write, err := wr.w.e.journal.seal(write)
	if err != nil {
		return err
	}
	q.write, q.size = write, 0
	for _, r := range write.Records {
		q.size += len(r.Payload) + len(r.Sealed)*4/3 + 200
	}
	select {
	case wr.queue <- q:
	case <-wr.w.ctx.Done():
		return errors.Join(ErrFenced, context.Cause(wr.w.ctx))
	}
	select {
	case err := <-q.done:
		return err
	case <-wr.w.ctx.Done():
		// The flush may still be under way; whoever owns the saga next reads what became of it.
		return errors.Join(ErrFenced, context.Cause(wr.w.ctx))
	}
}

func (wr *writer) run() {
	var held *queued
	batch := make([]*queued, 0, maxBatch)
	for {
		batch = batch[:0]
		if held != nil {
			batch, held = append(batch, held), nil
		} else {
			select {
			case q := <-wr.queue:
				batch = append(batch, q)
			case <-wr.w.ctx.Done():
				return
			}
		}
		bytes := batch[0].size
	fill:
		for len(batch) < maxBatch && bytes < maxBatchBytes {
			select {
			case q := <-wr.queue:
				if bytes += q.size; bytes > maxBatchBytes {
					held = q
					break fill
				}
				batch = append(batch, q)
			default:
				break fill
			}
		}
		wr.flush(batch)
	}
}

// flush writes a batch. A store that does not answer is tried again until the lease is lost. A batch that the database
// refuses is halved until the bad write fails alone.
func (wr *writer) flush(batch []*queued) {
	writes := wr.writes[:0]
	for _, q := range batch {
		writes = append(writes, q.write)
	}
	wr.writes = writes // no store keeps them
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		began := time.Now()
		results, err := wr.w.e.store.Append(wr.w.ctx, wr.w.lease, writes)
		wr.tell(batch, began, err)
		switch {
		case err == nil:
			for i, q := range batch {
				q.done <- results[i]
			}
			return
		case errors.Is(err, ErrFenced):
			wr.w.lose(err)
			answer(batch, err)
			return
		case wr.w.ctx.Err() != nil:
			answer(batch, errors.Join(ErrFenced, err))
			return
		case data.Retryable(err), errors.Is(err, data.ErrOutcomeUnknown), data.KindOf(err) == data.KindFull:
			wr.w.e.fail(wr.w.ctx, err)
			select {
			case <-wr.w.ctx.Done():
			case <-time.After(pause):
			}
			continue
		case len(batch) > 1:
			wr.flush(batch[:len(batch)/2])
			wr.flush(batch[len(batch)/2:])
			return
		default:
			answer(batch, err)
			return
		}
	}
}

func answer(batch []*queued, err error) {
	for _, q := range batch {
		q.done <- err
	}
}

func (wr *writer) tell(batch []*queued, began time.Time, err error) {
	h := wr.w.e.cfg.Hooks.Flushed
	if h == nil {
		return
	}
	e := FlushEvent{Writes: len(batch), Waiting: len(wr.queue), Duration: time.Since(began), Err: err}
	for _, q := range batch {
		e.Records += len(q.write.Records)
		e.Bytes += q.size
	}
	h(wr.w.ctx, e)
}
