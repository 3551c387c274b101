// Package sqlstore is what the SQL stores of sagas share: everything but the schema and the few statements that differ
// between engines.
package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/saga"
)

// lanesPerKind is over how many lanes the sagas of one definition are spread, and so the most nodes that share them.
const lanesPerKind = 16

// Store implements [saga.Store] over a [data.DB].
type Store struct {
	db    data.DB
	work  data.DB // for the engine's own statements
	beats data.DB // for beats
	pg    bool
	forms [forms]string // of the append statement
}

var _ saga.Store = (*Store)(nil)

// New makes a store over a database whose tables exist.
func New(db data.DB) *Store {
	s := &Store{db: db, work: db, beats: db, pg: db.Dialect() == data.Postgres}
	for f := range s.forms {
		s.forms[f] = form(f).text()
	}
	return s
}

// Open creates or upgrades the tables on a database of the given engine and returns a store over it.
func Open(ctx context.Context, db data.DB, engine data.Dialect, migrations fs.FS) (*Store, error) {
	if db.Dialect() != engine {
		return nil, fmt.Errorf("the database is %s; use the store of that engine", db.Dialect())
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := migrate.Up(ctx, db, files, migrate.Config{Name: "saga"}); err != nil {
		return nil, err
	}
	s := New(db)
	if err := s.reserve(); err != nil {
		return nil, err
	}
	if s.pg {
		if err := s.makeRoom(ctx, 0); err != nil && !data.Retryable(err) { // the default partition takes the rows until upkeep succeeds
			return nil, err
		}
	}
	return s, nil
}

// DB is the database of the journal.
func (s *Store) DB() data.DB { return s.db }

// now is the database's time in microseconds. SQLite lives in this process, so its time is this process's.
func (s *Store) now(ctx context.Context, q data.Querier) (int64, error) {
	if !s.pg {
		return time.Now().UnixMicro(), nil
	}
	var us int64
	err := q.QueryRow(ctx, `select (extract(epoch from clock_timestamp()) * 1000000)::bigint`).Scan(&us)
	return us, err
}

// ints passes a list of integers as one argument; in gives the matching condition.
func (s *Store) ints(list []int64) any {
	if s.pg {
		return list
	}
	raw, _ := json.Marshal(list) // integers always encode
	return string(raw)
}

// uids passes a list of ids as one argument.
func (s *Store) uids(list []saga.UID) any {
	if s.pg {
		out := make([][16]byte, len(list))
		for i, u := range list {
			out[i] = u
		}
		return out
	}
	hexes := make([]string, len(list))
	for i, u := range list {
		hexes[i] = fmt.Sprintf("%X", u[:])
	}
	raw, _ := json.Marshal(hexes)
	return string(raw)
}

// texts passes a list of strings as one argument.
func (s *Store) texts(list []string) any {
	if s.pg {
		return list
	}
	raw, _ := json.Marshal(list) // strings always encode
	return string(raw)
}

func (s *Store) uid(u saga.UID) any {
	if s.pg {
		return [16]byte(u)
	}
	return u[:]
}

// sql fits a statement to the engine: {any:$1} is a list of integers, {texts:$1} one of strings, {uids:$1} one of ids; {share},
// {update} and {skip} are row locks, the last one for rows that nobody else has locked.
func (s *Store) sql(text string) string {
	if s.pg {
		r := strings.NewReplacer("{any:", "any(", "{texts:", "any(", "{uids:", "any(", "{share}", "for share",
			"{update}", "for update", "{skip}", "for update skip locked", "}", ")")
		return r.Replace(text)
	}
	text = strings.ReplaceAll(text, "= {any:", "in (select value from json_each(")
	text = strings.ReplaceAll(text, "= {uids:", "in (select unhex(value) from json_each(")
	text = strings.ReplaceAll(text, "= {texts:", "in (select value from json_each(")
	text = strings.NewReplacer("{share}", "", "{update}", "", "{skip}", "").Replace(text)
	return strings.ReplaceAll(text, "}", "))")
}

// uidScanner reads an id from either engine.
type uidScanner struct{ to *saga.UID }

func (u uidScanner) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		if len(v) == 16 {
			copy(u.to[:], v)
			return nil
		}
		return u.Scan(string(v))
	case [16]byte:
		*u.to = v
		return nil
	case string:
		parsed, err := parseUID(v)
		*u.to = parsed
		return err
	}
	return fmt.Errorf("sagastore: a saga's id is stored as %T", src)
}

// Register records the definitions and creates their lanes. What is there already is only read, so a process that starts
// beside others waits for none of their locks.
func (s *Store) Register(ctx context.Context, defs []saga.DefInfo) error {
	for _, d := range defs {
		known, lanes, err := s.registered(ctx, s.db, d.Kind)
		if err != nil {
			return err
		}
		if lanes < lanesOf(d) {
			if known, err = s.register(ctx, d); err != nil {
				return err
			}
		}
		if known != d.Fingerprint {
			return fmt.Errorf("%w: %s was registered in this database with other steps; give the new shape a new version",
				saga.ErrShapeChanged, d.Kind)
		}
	}
	return nil
}

func (s *Store) registered(ctx context.Context, q data.Querier, kind string) (fingerprint string, lanes int, err error) {
	err = q.QueryRow(ctx, `select fingerprint, (select count(*) from saga_lane where kind = $1) from saga_def where kind = $1`, kind).
		Scan(&fingerprint, &lanes)
	if errors.Is(err, data.ErrNoRows) {
		err = nil
	}
	return fingerprint, lanes, err
}

func lanesOf(d saga.DefInfo) int {
	if d.Lanes > 0 {
		return d.Lanes
	}
	return lanesPerKind
}

// register makes the definition's rows and returns the fingerprint that stands, which another process may have written.
func (s *Store) register(ctx context.Context, d saga.DefInfo) (known string, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into saga_def (kind, fingerprint, seen) values ($1, $2, $3) on conflict do nothing`,
			d.Kind, d.Fingerprint, now)
		if err != nil {
			return err
		}
		for n := range lanesOf(d) {
			_, err := tx.Exec(ctx, `insert into saga_lane (kind, n, epoch) values ($1, $2, 0) on conflict do nothing`, d.Kind, n)
			if err != nil {
				return err
			}
		}
		known, _, err = s.registered(ctx, tx, d.Kind)
		return err
	})
	return known, err
}

// Load reads journals.
func (s *Store) Load(ctx context.Context, sagas []saga.UID) ([]saga.History, error) {
	var out []saga.History
	for chunk := range slices.Chunk(sagas, 500) {
		refs, err := s.refs(ctx, `select uid, id, kind, lane, input_hash from saga_key where uid = {uids:$1}`, s.uids(chunk))
		if err != nil {
			return nil, err
		}
		index := map[saga.UID]int{}
		for _, r := range refs {
			index[r.UID] = len(out)
			out = append(out, saga.History{Ref: r})
		}
		rows, err := s.db.Query(ctx, s.sql(`select uid, seq, kind, body from saga_journal where uid = {uids:$1} order by uid, seq`), s.uids(chunk))
		if err != nil {
			return nil, err
		}
		if err := collect(rows, func() error {
			var uid saga.UID
			var seq int64
			var kind int16
			var body string
			if err := rows.Scan(uidScanner{&uid}, &seq, &kind, &body); err != nil {
				return err
			}
			if i, ok := index[uid]; ok {
				add(&out[i], seq, kind, body)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// add decodes the next record of a journal. What follows a damaged one still tells how the journal ends.
func add(h *saga.History, seq int64, kind int16, body string) {
	rec, err := saga.DecodeRecord(seq, saga.RecordKind(kind), []byte(body))
	if err != nil {
		h.Last, h.Err = saga.Record{Seq: seq}, errors.Join(h.Err, err)
		return
	}
	if h.Last = rec; h.Err == nil {
		h.Records = append(h.Records, rec)
	}
}

// Lookup finds a saga by the caller's id.
func (s *Store) Lookup(ctx context.Context, id saga.ID) (saga.Ref, error) {
	if !utf8.ValidString(string(id)) || strings.IndexByte(string(id), 0) >= 0 {
		return saga.Ref{}, saga.ErrNotFound
	}
	refs, err := s.refs(ctx, `select uid, id, kind, lane, input_hash from saga_key where id = $1`, string(id))
	if err != nil {
		return saga.Ref{}, err
	}
	if len(refs) == 0 {
		return saga.Ref{}, saga.ErrNotFound
	}
	return refs[0], nil
}

// List returns live sagas, newest first.
func (s *Store) List(ctx context.Context, limit int) ([]saga.Ref, error) {
	return s.refs(ctx, `select k.uid, k.id, k.kind, k.lane, k.input_hash from saga_active a join saga_key k on k.uid = a.uid
		order by a.uid desc limit $1`, limit)
}

func (s *Store) refs(ctx context.Context, query string, args ...any) ([]saga.Ref, error) {
	return s.refsFrom(ctx, s.db, s.sql(query), args...)
}

func (s *Store) refsFrom(ctx context.Context, db data.DB, query string, args ...any) ([]saga.Ref, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	var out []saga.Ref
	err = collect(rows, func() error {
		var r saga.Ref
		if err := rows.Scan(uidScanner{&r.UID}, &r.ID, &r.Kind, &r.Lane, &r.InputHash); err != nil {
			return err
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

func collect(rows data.Rows, each func() error) error {
	for rows.Next() {
		if err := each(); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
