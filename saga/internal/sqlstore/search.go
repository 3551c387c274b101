package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

func (s *Store) insertAttributes(ctx context.Context, tx data.Tx, w saga.Write) error {
	for _, a := range w.Attributes {
		_, err := tx.Exec(ctx, `insert into saga_attr (uid, name, value) values ($1, $2, $3) on conflict do nothing`,
			s.uid(w.Ref.UID), a.Name, a.Value)
		if err != nil {
			return err
		}
	}
	return nil
}

// insertFork notes where a fork comes from. Only one fork may take the source's effects over.
func (s *Store) insertFork(ctx context.Context, tx data.Tx, w saga.Write) error {
	if w.From == nil {
		return nil
	}
	if _, err := tx.Exec(ctx, `insert into saga_fork (uid, source, owns) values ($1, $2, $3) on conflict do nothing`,
		s.uid(w.Ref.UID), s.uid(w.From.Saga), w.From.Owns); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, `select count(*) from saga_fork where uid = $1`, s.uid(w.Ref.UID)).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return saga.ErrForked
	}
	return nil
}

// setStanding keeps a row for what is neither running, waiting nor completed.
func (s *Store) setStanding(ctx context.Context, tx data.Tx, uid saga.UID, st saga.Standing) error {
	if st.State == "" {
		_, err := tx.Exec(ctx, `delete from saga_state where uid = $1`, s.uid(uid))
		return err
	}
	_, err := tx.Exec(ctx, `insert into saga_state (uid, state, step, reason, since) values ($1, $2, $3, $4, $5)
		on conflict (uid) do update set state = excluded.state, step = excluded.step, reason = excluded.reason, since = excluded.since,
			stray = false`,
		s.uid(uid), string(st.State), st.Step, st.Reason, st.Since.UnixMicro())
	return err
}

// Search takes a page of candidates from one index, and then looks each of them up by its own id.
func (s *Store) Search(ctx context.Context, q saga.SearchQuery) ([]saga.Found, error) {
	below := q.Below
	if below == (saga.UID{}) {
		for i := range below {
			below[i] = 0xff
		}
	}
	args := []any{s.uid(below), s.uid(q.Above), q.Limit}
	var query string
	switch q.From {
	case saga.FromLive:
		query = `select uid from saga_active where uid < $1 and uid > $2 order by uid desc limit $3`
	case saga.FromState:
		query = `select uid from saga_state where state = $4 and uid < $1 and uid > $2 order by uid desc limit $3`
		args = append(args, string(q.State))
	case saga.FromAttribute:
		query = `select uid from saga_attr where name = $4 and value = $5 and uid < $1 and uid > $2 order by uid desc limit $3`
		args = append(args, q.Attribute.Name, q.Attribute.Value)
	case saga.FromIDs:
		return s.searchIDs(ctx, q)
	default:
		query = `select uid from saga_key where uid < $1 and uid > $2 order by uid desc limit $3`
	}
	uids, err := s.listUIDs(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return s.found(ctx, uids)
}

func (s *Store) searchIDs(ctx context.Context, q saga.SearchQuery) ([]saga.Found, error) {
	from, op := string(q.Prefix), ">="
	if q.AfterID != "" && q.AfterID >= q.Prefix {
		from, op = string(q.AfterID), ">"
	}
	query, args := `select uid from saga_key where id `+op+` $1 order by id limit $2`, []any{from, q.Limit}
	if end := after(string(q.Prefix)); end != "" {
		query, args = `select uid from saga_key where id `+op+` $1 and id < $3 order by id limit $2`, append(args, end)
	}
	uids, err := s.listUIDs(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return s.found(ctx, uids)
}

// after is the least text that is greater than everything that begins with the prefix; "" when there is none. Both
// engines compare these columns by bytes. The last byte that can grow within UTF-8 is the ASCII one.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0x7f {
			return prefix[:i] + string(rune(prefix[i]+1))
		}
	}
	return ""
}

func (s *Store) listUIDs(ctx context.Context, query string, args ...any) ([]saga.UID, error) {
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var out []saga.UID
	err = collect(rows, func() error {
		var u saga.UID
		err := rows.Scan(uidScanner{&u})
		out = append(out, u)
		return err
	})
	return out, err
}

// found describes sagas in the order of their ids.
func (s *Store) found(ctx context.Context, uids []saga.UID) ([]saga.Found, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	rows, err := s.db.Query(ctx, s.sql(`select k.uid, k.id, k.kind, k.lane, k.input_hash, a.uid is not null, coalesce(t.due, 0),
			coalesce(s.state, ''), coalesce(s.step, ''), coalesce(s.reason, ''), coalesce(s.since, 0)
		from saga_key k left join saga_active a on a.uid = k.uid left join saga_timer t on t.uid = k.uid left join saga_state s on s.uid = k.uid
		where k.uid = {uids:$1}`), s.uids(uids))
	if err != nil {
		return nil, err
	}
	byUID := make(map[saga.UID]*saga.Found, len(uids))
	err = collect(rows, func() error {
		f := &saga.Found{}
		var due, since int64
		err := rows.Scan(uidScanner{&f.Ref.UID}, &f.Ref.ID, &f.Ref.Kind, &f.Ref.Lane, &f.Ref.InputHash, &f.Live, &due,
			&f.Standing.State, &f.Standing.Step, &f.Standing.Reason, &since)
		if due != 0 {
			f.WakesAt = time.UnixMicro(due).UTC()
		}
		if since != 0 {
			f.Standing.Since = time.UnixMicro(since).UTC()
		}
		byUID[f.Ref.UID] = f
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.attributes(ctx, uids, byUID); err != nil {
		return nil, err
	}
	out := make([]saga.Found, 0, len(uids))
	for _, u := range uids {
		if f := byUID[u]; f != nil { // it may have been removed since
			out = append(out, *f)
		}
	}
	return out, nil
}

func (s *Store) attributes(ctx context.Context, uids []saga.UID, to map[saga.UID]*saga.Found) error {
	rows, err := s.db.Query(ctx, s.sql(`select uid, name, value from saga_attr where uid = {uids:$1} order by uid, name`), s.uids(uids))
	if err != nil {
		return err
	}
	return collect(rows, func() error {
		var u saga.UID
		var a saga.Attribute
		err := rows.Scan(uidScanner{&u}, &a.Name, &a.Value)
		if f := to[u]; f != nil {
			f.Attributes = append(f.Attributes, a)
		}
		return err
	})
}

// Facts reads what is known of one saga.
func (s *Store) Facts(ctx context.Context, uid saga.UID) (saga.Facts, error) {
	found, err := s.found(ctx, []saga.UID{uid})
	if err != nil {
		return saga.Facts{}, err
	}
	if len(found) == 0 {
		return saga.Facts{}, saga.ErrNotFound
	}
	f := saga.Facts{Found: found[0]}
	if f.Mail, err = s.MailOf(ctx, uid); err != nil {
		return f, err
	}
	err = s.db.QueryRow(ctx, `select k.id from saga_fork f join saga_key k on k.uid = f.source where f.uid = $1`, s.uid(uid)).Scan(&f.From)
	if err != nil && !errors.Is(err, data.ErrNoRows) {
		return f, fmt.Errorf("sagastore: source of a fork: %w", err)
	}
	forks, err := s.refs(ctx, `select k.uid, k.id, k.kind, k.lane, k.input_hash from saga_fork f join saga_key k on k.uid = f.uid
		where f.source = $1 order by k.uid`, s.uid(uid))
	for _, r := range forks {
		f.Forks = append(f.Forks, r.ID)
	}
	return f, err
}
