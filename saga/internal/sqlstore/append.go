package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// entry is one journal row.
type entry struct {
	uid   saga.UID
	seq   int64
	epoch int64
	kind  int16
	body  string
}

// Append writes a batch in one commit. Writes that cannot be made are taken out and reported alone.
//
// On PostgreSQL that is one statement, unless something is wrong: an id or a number that is taken, a reply that was lost.
// The statement then had no effect, or the same one, and the careful way finds out which write is to blame.
func (s *Store) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	results := make([]error, len(writes))
	b := &batch{writes: writes, entries: make([][]entry, len(writes)), todo: make([]int, 0, len(writes))}
	for i, w := range writes {
		rows, err := encode(w)
		if err != nil {
			results[i] = err
			continue
		}
		b.entries[i] = rows
		b.todo = append(b.todo, i)
	}
	if s.pg {
		done, err := s.appendAtOnce(ctx, l, b)
		if done || err != nil {
			return results, err
		}
	}
	return results, s.appendCarefully(ctx, l, b, results)
}

// batch is what one call of Append still has to write.
type batch struct {
	writes  []saga.Write
	entries [][]entry // per write
	todo    []int     // writes that are to be made
}

func encode(w saga.Write) ([]entry, error) {
	rows := make([]entry, 0, len(w.Records))
	body := make([]byte, 0, 512)
	for _, r := range w.Records {
		var err error
		if body, err = saga.EncodeRecord(body[:0], r); err != nil {
			return nil, fmt.Errorf("sagastore: %s: %w", w.Ref.ID, err)
		}
		rows = append(rows, entry{w.Ref.UID, r.Seq, w.LaneEpoch, int16(r.Kind), string(body)})
	}
	return rows, nil
}

// appendAtOnce writes the whole batch with one statement that commits by itself. It reports false when the batch needs the
// careful way.
func (s *Store) appendAtOnce(ctx context.Context, l saga.Lease, b *batch) (done bool, err error) {
	st := newStatement(l, b)
	if st == nil {
		return false, nil
	}
	// A connection that no longer answers is not waited for until the lease is lost.
	limited, cancel := context.WithTimeout(ctx, l.TTL/2)
	defer cancel()
	n, err := s.work.Exec(limited, s.forms[st.form], st.args...)
	switch {
	case err == nil && n == 0:
		return false, saga.ErrFenced
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, err
	case limited.Err() != nil, data.KindOf(err) == data.KindUnique, data.KindOf(err) == data.KindConflict, errors.Is(err, data.ErrOutcomeUnknown):
		return false, nil
	}
	return false, err
}

// AppendTx writes inside a transaction of the database, as its last statements.
func (s *Store) AppendTx(ctx context.Context, tx data.Tx, l saga.Lease, w saga.Write) error {
	rows, err := encode(w)
	if err != nil {
		return err
	}
	if s.pg {
		st := newStatement(l, &batch{writes: []saga.Write{w}, entries: [][]entry{rows}, todo: []int{0}})
		if st != nil {
			n, err := tx.Exec(ctx, s.forms[st.form], st.args...)
			if err == nil && n == 0 {
				return saga.ErrFenced
			}
			return stale(err)
		}
	}
	if err := s.keepBooks(ctx, tx, []saga.Write{w}); err != nil {
		return err
	}
	if err := s.fence(ctx, tx, l); err != nil {
		return err
	}
	_, err = s.insertJournal(ctx, tx, rows, "")
	return stale(err)
}

// stale tells that somebody else wrote under a number.
func stale(err error) error {
	if data.KindOf(err) == data.KindUnique {
		return fmt.Errorf("%w: %w", saga.ErrStale, err)
	}
	return err
}
