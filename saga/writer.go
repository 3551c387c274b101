package saga

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
)

// writer is the one path on which this node appends: it takes whatever waits and writes it in one commit; the next flush
// takes what arrived meanwhile. There is no timer and no minimum, so a lone write goes at once. While a flush is under way and
// many writes wait, a second one goes beside it, so that neither the database nor this process waits for the other. A saga has
// at most one write under way, so their order does not matter.
type writer struct {
	w     *worker
	queue chan *queued
	surge chan struct{} // many writes wait
}

type queued struct {
	write Write
	size  int
	done  chan error
}

const (
	maxBatch      = 1000
	maxBatchBytes = 4 << 20
	surge         = 100 // writes that wait, from which on a second flush pays
)

func newWriter(w *worker) *writer {
	return &writer{w: w, queue: make(chan *queued, 2*maxBatch), surge: make(chan struct{}, 1)}
}

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
	default:
		select {
		case wr.queue <- q:
		case <-wr.w.ctx.Done():
			return errors.Join(ErrFenced, context.Cause(wr.w.ctx))
		}
	}
	if len(wr.queue) >= surge {
		select {
		case wr.surge <- struct{}{}:
		default:
		}
	}
	return <-q.done // also when the worker ends; waiting for that here too would cost more than all the rest
}

// refuse answers what waits when the worker has ended, and whatever still comes until all is at rest.
func (wr *writer) refuse(rest <-chan struct{}) {
	err := errors.Join(ErrFenced, context.Cause(wr.w.ctx))
	for {
		select {
		case q := <-wr.queue:
			q.done <- err
		case <-rest:
			return
		case <-time.After(time.Second): // an attempt ignores its context; nothing it still does is taken
			return
		}
	}
}

// run writes until the worker ends.
func (wr *writer) run() {
	f := flusher{wr: wr}
	defer f.drop()
	for {
		var first *queued
		if first, f.held = f.held, nil; first == nil {
			select {
			case first = <-wr.queue:
			case <-wr.w.ctx.Done():
				return
			}
		}
		f.flush(f.take(first))
	}
}

// help writes whenever many writes wait.
func (wr *writer) help() {
	f := flusher{wr: wr}
	defer f.drop()
	for {
		select {
		case <-wr.surge:
		case <-wr.w.ctx.Done():
			return
		}
		for len(wr.queue) >= surge || f.held != nil {
			first := f.held
			if f.held = nil; first == nil {
				select {
				case first = <-wr.queue:
				default:
				}
			}
			if first != nil {
				f.flush(f.take(first))
			}
		}
	}
}

// flusher makes flushes, one after the other, in buffers that it uses again.
type flusher struct {
	wr     *writer
	held   *queued // taken from the queue, for the next batch
	batch  []*queued
	writes []Write
}

// drop answers what the last flush left.
func (f *flusher) drop() {
	if f.held != nil {
		f.held.done <- errors.Join(ErrFenced, context.Cause(f.wr.w.ctx))
	}
}

// take makes a batch of the first write and what waits behind it.
func (f *flusher) take(first *queued) []*queued {
	batch := append(f.batch[:0], first)
	for bytes := first.size; len(batch) < maxBatch && bytes < maxBatchBytes; {
		select {
		case q := <-f.wr.queue:
			if bytes += q.size; bytes > maxBatchBytes {
				f.held = q
				break
			}
			batch = append(batch, q)
			continue
		default:
		}
		break
	}
	f.batch = batch
	return batch
}

// flush writes a batch. A store that does not answer is tried again until the lease is lost. A batch that the database
// refuses is halved until the bad write fails alone.
func (f *flusher) flush(batch []*queued) {
	wr, writes := f.wr, f.writes[:0]
	for _, q := range batch {
		writes = append(writes, q.write)
	}
	f.writes = writes // no store keeps them
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
			f.flush(batch[:len(batch)/2])
			f.flush(batch[len(batch)/2:])
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
