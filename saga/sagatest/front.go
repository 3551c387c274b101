package sagatest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// front stands between one process and the store. When the process dies nothing gets through any more.
type front struct {
	saga.Store
	r      *run
	dead   atomic.Bool
	stop   context.CancelFunc // of the engine's Run
	ended  chan struct{}      // Run has returned
	killed chan struct{}
}

// die is SIGKILL, as far as anybody outside of the process can tell.
func (f *front) die(where string) {
	if f.dead.CompareAndSwap(false, true) {
		f.r.note("  ✗ the process is killed %s", where)
		close(f.killed)
		f.stop()
	}
}

var (
	errLost = &data.Error{Kind: data.KindUnknown, Code: "injected", Err: errors.New("the reply to the commit was lost")}
	errDown = &data.Error{Kind: data.KindUnavailable, Code: "injected", Err: errors.New("the store is down")}
)

func (f *front) Beat(ctx context.Context, l saga.Lease) (time.Time, error) {
	if f.dead.Load() {
		return time.Time{}, saga.ErrFenced
	}
	return f.Store.Beat(ctx, l)
}

func (f *front) Claim(ctx context.Context, l saga.Lease) ([]saga.Lane, map[string]int, error) {
	if f.dead.Load() {
		return nil, nil, saga.ErrFenced
	}
	return f.Store.Claim(ctx, l)
}

func (f *front) Leave(ctx context.Context, l saga.Lease) error {
	if f.dead.Load() {
		return saga.ErrFenced
	}
	return f.Store.Leave(ctx, l)
}

func (f *front) Release(ctx context.Context, l saga.Lease, lanes []int64) error {
	if f.dead.Load() {
		return saga.ErrFenced
	}
	return f.Store.Release(ctx, l, lanes)
}

func (f *front) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	kinds := f.before(writes...)
	if f.dead.Load() {
		return nil, saga.ErrFenced
	}
	if has(kinds, StoreDown) {
		f.r.note("  ✗ the store is down")
		return nil, errDown
	}
	results, err := f.Store.Append(ctx, l, writes)
	if err == nil {
		for i, w := range writes {
			if results[i] == nil {
				f.r.durable(w)
			}
		}
		err = f.after(kinds)
	}
	return results, err
}

// before notes a write and takes the faults that stand at it.
func (f *front) before(writes ...saga.Write) (kinds []Kind) {
	if f.dead.Load() {
		return nil
	}
	for _, w := range writes {
		at := recordPlace(w)
		if at == "" {
			continue
		}
		f.r.mu.Lock()
		here := f.r.takeLocked(f.r.placeLocked(at, atRecord))
		f.r.mu.Unlock()
		if has(here, CrashBeforeRecord) {
			f.die("before it records " + at)
		}
		kinds = append(kinds, here...)
	}
	return kinds
}

// after has the faults that stand behind a write.
func (f *front) after(kinds []Kind) error {
	if has(kinds, Cancel) {
		f.r.cancelSoon()
	}
	if has(kinds, CrashAfterRecord) {
		f.die("as soon as that is recorded")
		return saga.ErrFenced
	}
	if has(kinds, LostCommit) {
		f.r.note("  ✗ the reply to the commit is lost")
		return errLost
	}
	return nil
}

func has(kinds []Kind, k Kind) bool {
	for _, have := range kinds {
		if have == k {
			return true
		}
	}
	return false
}

// recordPlace names a write after its first record.
func recordPlace(w saga.Write) string {
	if len(w.Records) == 0 {
		return ""
	}
	r := w.Records[0]
	if r.Node == "" {
		return "saga=" + r.Kind.String()
	}
	dir := "do"
	if r.Undo {
		dir = "undo"
	}
	return fmt.Sprintf("%s/%s=%s", r.Node, dir, r.Kind)
}

type pendingWrite struct {
	kinds []Kind
	write *saga.Write
}

type pendingKey struct{}

// AppendTx is called inside of a transaction that this process began.
func (f *front) AppendTx(ctx context.Context, tx data.Tx, l saga.Lease, w saga.Write) error {
	kinds := f.before(w)
	if f.dead.Load() {
		return saga.ErrFenced
	}
	if has(kinds, StoreDown) {
		f.r.note("  ✗ the store is down")
		return errDown
	}
	if p, ok := ctx.Value(pendingKey{}).(*pendingWrite); ok {
		p.kinds, p.write = kinds, &w
	}
	return f.Store.AppendTx(ctx, tx, l, w)
}

func (f *front) DB() data.DB { return frontDB{f.Store.DB(), f} }

type frontDB struct {
	data.DB
	f *front
}

func (d frontDB) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	if d.f.dead.Load() {
		return saga.ErrFenced
	}
	p := &pendingWrite{}
	err := d.DB.InTx(context.WithValue(ctx, pendingKey{}, p), func(ctx context.Context, tx data.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if d.f.dead.Load() {
			return saga.ErrFenced // rolled back
		}
		return nil
	})
	if err != nil || p.write == nil {
		return err
	}
	d.f.r.durable(*p.write)
	return d.f.after(p.kinds)
}
