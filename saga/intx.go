package saga

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
)

// runInTx carries out a transactional step, or dispatches a remote one, together with its record.
func (a *activation) runInTx(c Command) ([]Record, error) {
	state, err := a.m.stateFor(c.node)
	if err != nil {
		return nil, err
	}
	select {
	case a.w.txSem <- struct{}{}:
		defer func() { <-a.w.txSem }()
	case <-a.w.steps.Done():
		return nil, nil
	}
	limit := c.node.limitOf(c.Undo)
	if c.node.kind == kindRemote {
		limit = 2 * time.Second // the timeout is the wait for the reply
	}
	ctx, cancel := context.WithTimeout(a.w.e.contextOf(a.w.steps, a.m), limit)
	defer cancel()
	began, info := time.Now(), a.infoFor(c)
	ctx = a.w.e.attempting(ctx, &info)
	var write Write
	var then *trial
	inTx := func(ctx context.Context, tx data.Tx) error {
		then.takeBack() // of a transaction that is repeated
		then = nil
		payload, value, err := a.call(Ctx{ctx, &info}, c, tx, state, a.m.nodes[c.node.id].result)
		if err != nil {
			return err
		}
		now := a.w.now()
		rec := Record{Seq: a.m.seq + 1, At: now, Kind: Done, Node: c.Node, Undo: c.Undo, Payload: payload, value: value}
		if c.node.kind == kindRemote {
			rec.Kind, rec.Due = Armed, now.Add(c.node.limitOf(c.Undo))
		}
		if then, rec.End, err = a.m.after(rec); err != nil {
			return &poisonError{c.Node, err} // once committed, such a record would make the whole journal unreadable
		}
		write = Write{
			Ref: a.ref, LaneEpoch: a.laneEpoch, Records: []Record{rec}, End: rec.End != outcomeNone,
			MailDone: a.mailIDs(), Wake: a.asleep,
		}
		a.projectEnd(&write)
		write.Leave = write.End && a.m.queue != ""
		return a.w.e.journal.AppendTx(ctx, tx, a.w.lease, write)
	}
	err = survive(func() error { return a.w.e.store.DB().InTx(ctx, inTx) })
	if err != nil {
		then.takeBack()
	}
	err = c.node.guard(err)
	r := &attemptResult{node: c.node, undo: c.Undo, attempt: c.Attempt, err: err, took: time.Since(began)}
	r.void = err != nil && (errors.Is(err, ErrFenced) || errors.Is(err, ErrStale) || a.w.steps.Err() != nil)
	a.w.e.attempted(ctx, &info, r)
	switch {
	case err == nil:
		a.m = &then.machine
		a.written(write)
		return []Record{}, nil
	case errors.Is(err, ErrFenced):
		a.w.lose(err)
		return nil, err
	case errors.Is(err, ErrStale), errors.As(err, new(*poisonError)):
		return nil, err
	case a.w.steps.Err() != nil:
		return nil, nil // stopping: whoever owns the saga next repeats it
	}
	// After a lost commit reply the record that is written next takes the same number. If the transaction did commit, that
	// write is refused as stale and the journal is read again; if not, the number is taken and it never will.
	return a.failure(c.node, c.Undo, err, a.w.now()), nil
}

var errGoexit = errors.New("the step's function called runtime.Goexit")

// survive runs f, which may end its goroutine, in one of its own: the saga's must go on.
func survive(f func() error) error {
	ended := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { ended <- err }()
		err = f()
	}()
	return <-ended
}
