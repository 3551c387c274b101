package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

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
func (s *Store) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	results := make([]error, len(writes))
	todo := make([]int, 0, len(writes))
	entries := make([][]entry, len(writes))
	for i, w := range writes {
		rows, err := encode(w)
		if err != nil {
			results[i] = err
			continue
		}
		entries[i] = rows
		todo = append(todo, i)
	}
	for range 3 {
		var out outcome
		err := s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
			out = outcome{}
			return s.appendBatch(ctx, tx, l, writes, entries, todo, &out)
		})
		if errors.Is(err, errTakenOut) {
			var rest []int
			for _, i := range todo {
				if bad := out.bad[i]; bad != nil {
					results[i] = bad
				} else {
					rest = append(rest, i)
				}
			}
			if todo = rest; len(todo) == 0 {
				return results, nil
			}
			continue
		}
		if errors.Is(err, data.ErrOutcomeUnknown) {
			continue // the same records again: what was committed is recognised
		}
		return results, err
	}
	return results, fmt.Errorf("sagastore: %w after three tries", data.ErrOutcomeUnknown)
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

func encode(w saga.Write) ([]entry, error) {
	rows := make([]entry, 0, len(w.Records))
	for _, r := range w.Records {
		body, err := saga.EncodeRecord(r)
		if err != nil {
			return nil, fmt.Errorf("sagastore: record %d of %s does not encode: %w", r.Seq, w.Ref.ID, err)
		}
		rows = append(rows, entry{w.Ref.UID, r.Seq, w.LaneEpoch, int16(r.Kind), string(body)})
	}
	return rows, nil
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
	for _, w := range writes {
		mail = append(mail, w.MailDone...)
		switch {
		case w.End:
			ended = append(ended, w.Ref.UID)
		case !w.Sleep.IsZero():
			_, err := tx.Exec(ctx, `insert into saga_timer (uid, lane, due) values ($1, $2, $3) on conflict (uid) do update set due = excluded.due`,
				s.uid(w.Ref.UID), w.Ref.Lane, w.Sleep.UnixMicro())
			if err != nil {
				return err
			}
		case w.Wake:
			woken = append(woken, w.Ref.UID)
		}
	}
	if len(mail) > 0 {
		if _, err := tx.Exec(ctx, s.sql(`delete from saga_mail where id = {any:$1}`), s.ints(mail)); err != nil {
			return err
		}
	}
	if gone := append(woken, ended...); len(gone) > 0 {
		if _, err := tx.Exec(ctx, s.sql(`delete from saga_timer where uid = {uids:$1}`), s.uids(gone)); err != nil {
			return err
		}
	}
	if len(ended) > 0 {
		for _, q := range []string{`delete from saga_active where uid = {uids:$1}`, `delete from saga_mail where uid = {uids:$1}`} {
			if _, err := tx.Exec(ctx, s.sql(q), s.uids(ended)); err != nil {
				return err
			}
		}
	}
	return nil
}

// AppendTx writes at the end of a step's own transaction.
func (s *Store) AppendTx(ctx context.Context, tx data.Tx, l saga.Lease, w saga.Write) error {
	rows, err := encode(w)
	if err != nil {
		return err
	}
	if err := s.keepBooks(ctx, tx, []saga.Write{w}); err != nil {
		return err
	}
	if err := s.fence(ctx, tx, l); err != nil {
		return err
	}
	_, err = s.insertJournal(ctx, tx, rows, "")
	if data.KindOf(err) == data.KindUnique {
		return fmt.Errorf("%w: %w", saga.ErrStale, err)
	}
	return err
}

// Create starts a saga in any transaction. Nobody else writes under its fresh id, so it needs no fence; the mail tells the
// owner of the lane, whoever that is by then.
func (s *Store) Create(ctx context.Context, tx data.Tx, w saga.Write) error {
	rows, err := tx.Query(ctx, `select id from saga_lane where kind = $1 order by n`, w.Ref.Kind)
	if err != nil {
		return err
	}
	var lanes []int64
	if err := collect(rows, func() error {
		var id int64
		err := rows.Scan(&id)
		lanes = append(lanes, id)
		return err
	}); err != nil {
		return err
	}
	if len(lanes) == 0 {
		return fmt.Errorf("%w: %s", saga.ErrNotRegistered, w.Ref.Kind)
	}
	w.Ref.Lane = lanes[rand.IntN(len(lanes))]
	if err := s.insertKey(ctx, tx, w.Ref); err != nil {
		return err
	}
	entries, err := encode(w)
	if err != nil {
		return err
	}
	if _, err := s.insertJournal(ctx, tx, entries, "on conflict do nothing"); err != nil {
		return err
	}
	err = s.Post(ctx, tx, saga.Mail{Saga: w.Ref.UID, Kind: saga.MailStart, Dedupe: "start"})
	if errors.Is(err, saga.ErrFinished) {
		return nil // a repetition; the saga has run meanwhile
	}
	return err
}
