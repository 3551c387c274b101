package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// appendCarefully writes the batch in a transaction, statement by statement, so that each write that cannot be made is found
// and taken out. It recognises what is written already.
func (s *Store) appendCarefully(ctx context.Context, l saga.Lease, b *batch, results []error) error {
	for range 3 {
		var out outcome
		err := s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
			out = outcome{}
			return s.appendBatch(ctx, tx, l, b.writes, b.entries, b.todo, &out)
		})
		if errors.Is(err, errTakenOut) {
			var rest []int
			for _, i := range b.todo {
				if bad := out.bad[i]; bad != nil {
					results[i] = bad
				} else {
					rest = append(rest, i)
				}
			}
			if b.todo = rest; len(b.todo) == 0 {
				return nil
			}
			continue
		}
		if errors.Is(err, data.ErrOutcomeUnknown) {
			continue // the same records again: what was committed is recognised
		}
		return err
	}
	return fmt.Errorf("sagastore: %w after three tries", data.ErrOutcomeUnknown)
}

// errTakenOut rolls a batch back so that it is tried again without the writes that cannot be made.
var errTakenOut = errors.New("sagastore: writes were taken out of the batch")

type outcome struct{ bad map[int]error }

func (o *outcome) takeOut(i int, err error) {
	if o.bad == nil {
		o.bad = map[int]error{}
	}
	o.bad[i] = err
}

func (s *Store) fence(ctx context.Context, tx data.Tx, l saga.Lease) error {
	var epoch int64
	err := tx.QueryRow(ctx, s.sql(`select epoch from saga_node where node = $1 {share}`), l.Node).Scan(&epoch)
	if errors.Is(err, data.ErrNoRows) || err == nil && epoch != l.Epoch {
		return saga.ErrFenced
	}
	return err
}

func (s *Store) appendBatch(ctx context.Context, tx data.Tx, l saga.Lease, writes []saga.Write, entries [][]entry, todo []int, out *outcome) error {
	if err := s.fence(ctx, tx, l); err != nil {
		return err
	}
	if err := s.insertKeys(ctx, tx, writes, todo, out); err != nil {
		return err
	}
	var rows []entry
	for _, i := range todo {
		rows = append(rows, entries[i]...)
	}
	n, err := s.insertJournal(ctx, tx, rows, "on conflict do nothing")
	if err != nil {
		return err
	}
	if n < int64(len(rows)) {
		if err := s.compare(ctx, tx, entries, todo, out); err != nil {
			return err
		}
	}
	if out.bad != nil {
		return errTakenOut
	}
	all := make([]saga.Write, 0, len(todo))
	for _, i := range todo {
		all = append(all, writes[i])
	}
	return s.keepBooks(ctx, tx, all)
}

// insertKeys takes the ids of new sagas. An id that another saga has takes its write out.
func (s *Store) insertKeys(ctx context.Context, tx data.Tx, writes []saga.Write, todo []int, out *outcome) error {
	for _, i := range todo {
		w := writes[i]
		if !w.New {
			continue
		}
		err := s.insertKey(ctx, tx, w.Ref)
		if errors.Is(err, saga.ErrConflict) {
			out.takeOut(i, err)
			continue
		}
		if err != nil {
			return err
		}
		if err := s.insertAttributes(ctx, tx, w); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) insertKey(ctx context.Context, tx data.Tx, r saga.Ref) error {
	n, err := tx.Exec(ctx, `insert into saga_key (id, uid, kind, lane, input_hash) values ($1, $2, $3, $4, $5) on conflict do nothing`,
		string(r.ID), s.uid(r.UID), r.Kind, r.Lane, r.InputHash)
	if err != nil {
		return err
	}
	if n == 0 {
		var other saga.UID
		if err := tx.QueryRow(ctx, `select uid from saga_key where id = $1`, string(r.ID)).Scan(uidScanner{&other}); err != nil {
			return err
		}
		if other != r.UID {
			return saga.ErrConflict
		}
		return nil // our own, from a commit whose reply was lost
	}
	_, err = tx.Exec(ctx, `insert into saga_active (uid, lane) values ($1, $2)`, s.uid(r.UID), r.Lane)
	return err
}

func (s *Store) insertJournal(ctx context.Context, tx data.Tx, rows []entry, conflict string) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if !s.pg {
		var n int64
		for _, r := range rows {
			one, err := tx.Exec(ctx, `insert into saga_journal (uid, seq, epoch, kind, body) values ($1, $2, $3, $4, $5) `+conflict,
				r.uid[:], r.seq, r.epoch, r.kind, r.body)
			if err != nil {
				return n, err
			}
			n += one
		}
		return n, nil
	}
	uids, seqs, epochs := make([][16]byte, len(rows)), make([]int64, len(rows)), make([]int64, len(rows))
	kinds, bodies := make([]int16, len(rows)), make([]string, len(rows))
	for i, r := range rows {
		uids[i], seqs[i], epochs[i], kinds[i], bodies[i] = r.uid, r.seq, r.epoch, r.kind, r.body
	}
	return tx.Exec(ctx, `insert into saga_journal (uid, seq, epoch, kind, body)
		select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[]) `+conflict, uids, seqs, epochs, kinds, bodies)
}

// compare reads back what stands under the numbers that were to be written: the same rows are a repetition, others mean
// that the journal went on without this writer.
func (s *Store) compare(ctx context.Context, tx data.Tx, entries [][]entry, todo []int, out *outcome) error {
	for _, i := range todo {
		for _, e := range entries[i] {
			var epoch int64
			var body string
			err := tx.QueryRow(ctx, `select epoch, body from saga_journal where uid = $1 and seq = $2`, s.uid(e.uid), e.seq).Scan(&epoch, &body)
			if err != nil {
				return err
			}
			if epoch != e.epoch || body != e.body {
				out.takeOut(i, saga.ErrStale)
				break
			}
		}
	}
	return nil
}

// keepBooks maintains the small tables around the journal.
func (s *Store) keepBooks(ctx context.Context, tx data.Tx, writes []saga.Write) error {
	var ended, woken []saga.UID
	var mail []int64
	queues := false
	for _, w := range writes {
		mail = append(mail, w.MailDone...)
		if w.Standing != nil {
			if err := s.setStanding(ctx, tx, w.Ref.UID, *w.Standing); err != nil {
				return err
			}
		}
		queues = queues || w.Ticket != nil || w.Leave
		if w.End {
			ended = append(ended, w.Ref.UID)
		}
		if w.Wake {
			woken = append(woken, w.Ref.UID)
		}
		if w.End || w.Sleep.IsZero() {
			continue
		}
		_, err := tx.Exec(ctx, `insert into saga_timer (uid, lane, due) values ($1, $2, $3) on conflict (uid) do update set due = excluded.due`,
			s.uid(w.Ref.UID), w.Ref.Lane, w.Sleep.UnixMicro())
		if err != nil {
			return err
		}
	}
	if len(mail) > 0 {
		if _, err := tx.Exec(ctx, s.sql(`delete from saga_mail where id = {any:$1}`), s.ints(mail)); err != nil {
			return err
		}
	}
	if len(woken) > 0 {
		if _, err := tx.Exec(ctx, s.sql(`delete from saga_timer where uid = {uids:$1}`), s.uids(woken)); err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		if _, err := tx.Exec(ctx, s.sql(`delete from saga_active where uid = {uids:$1}`), s.uids(ended)); err != nil {
			return err
		}
	}
	if queues {
		return s.keepQueues(ctx, tx, writes)
	}
	return nil
}
