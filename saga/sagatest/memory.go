package sagatest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// lanesPerKind is small, because nothing in a test needs more nodes.
const lanesPerKind = 8

// NewStore returns a store that keeps everything in memory, for tests: what it holds is gone with it. It passes [ExerciseStore].
// Transactions run on db, which transactional steps see as theirs, and what they add to the journal becomes visible with their
// commit; like SQLite it lets one writer in at a time. Without a db, transactions may add to the journal only. All times are those
// of the process, so that a testing/synctest bubble is a world of its own.
func NewStore(db data.DB) saga.Store {
	if db == nil {
		db = noDB{}
	}
	return &memory{
		inner: db, writer: make(chan struct{}, 1), defs: map[string]string{}, nodes: map[string]*member{},
		seen: map[string]time.Time{}, ids: map[saga.ID]saga.UID{},
		sagas: map[saga.UID]*kept{}, schedules: map[string]saga.ScheduleState{},
	}
}

type memory struct {
	inner  data.DB
	writer chan struct{} // held by whoever writes, for the whole of a transaction

	mu       sync.Mutex // never held while anything waits
	defs     map[string]string
	nodes    map[string]*member
	seen     map[string]time.Time // when a live node was last known to run a definition
	lanes    []*owned
	ids      map[saga.ID]saga.UID
	sagas    map[saga.UID]*kept
	mail     []saga.Mail // by ID
	lastMail int64

	schedules map[string]saga.ScheduleState
}

type member struct {
	kinds []string
	beat  time.Time
	ttl   time.Duration
}

type owned struct {
	saga.Lane
	node string
}

// kept is one saga.
type kept struct {
	ref   saga.Ref
	live  bool
	sleep time.Time
	rows  []row

	attributes []saga.Attribute
	standing   saga.Standing
	stray      bool
	from       *saga.ForkedFrom
}

type row struct {
	seq, epoch int64
	kind       saga.RecordKind
	body       []byte
}

// lock lets one writer in.
func (s *memory) lock(ctx context.Context) error {
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *memory) unlock() { <-s.writer }

// write runs f with nobody else writing and nobody reading.
func (s *memory) write(ctx context.Context, f func() error) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

func (s *memory) DB() data.DB { return memoryDB{s.inner, s} }

func (s *memory) Register(ctx context.Context, defs []saga.DefInfo) error {
	return s.write(ctx, func() error {
		for _, d := range defs {
			if known, ok := s.defs[d.Kind]; ok && known != d.Fingerprint {
				return fmt.Errorf("sagatest: %w: %s", saga.ErrShapeChanged, d.Kind)
			} else if ok {
				continue
			}
			s.defs[d.Kind], s.seen[d.Kind] = d.Fingerprint, time.Now()
			for range cmp.Or(d.Lanes, lanesPerKind) {
				s.lanes = append(s.lanes, &owned{Lane: saga.Lane{ID: int64(len(s.lanes) + 1), Kind: d.Kind}})
			}
		}
		return nil
	})
}

func (s *memory) Join(ctx context.Context, node string, kinds []string, ttl time.Duration) (saga.Lease, error) {
	l := saga.Lease{Node: node + "-" + strings.ToLower(rand.Text()[:8]), Epoch: 1, TTL: ttl}
	return l, s.write(ctx, func() error {
		s.nodes[l.Node] = &member{kinds, time.Now(), ttl}
		return nil
	})
}

// Beat waits for no writer.
func (s *memory) Beat(_ context.Context, l saga.Lease) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.nodes[l.Node]
	if m == nil {
		return time.Time{}, saga.ErrFenced
	}
	m.beat = time.Now()
	return m.beat, nil
}

func (s *memory) Claim(ctx context.Context, l saga.Lease) (mine []saga.Lane, surplus map[string]int, err error) {
	surplus = map[string]int{}
	err = s.write(ctx, func() error {
		now := time.Now()
		for name, m := range s.nodes {
			if name != l.Node && now.Sub(m.beat) > m.ttl {
				s.remove(name)
			}
		}
		me := s.nodes[l.Node]
		if me == nil {
			return saga.ErrFenced
		}
		s.noteSeen(now)
		for _, kind := range me.kinds {
			lanes, extra := s.claimKind(l.Node, kind)
			mine, surplus[kind] = append(mine, lanes...), extra
		}
		return nil
	})
	return mine, surplus, err
}

func (s *memory) claimKind(node, kind string) (mine []saga.Lane, surplus int) {
	var free []*owned
	total, sharers := 0, 0
	for _, l := range s.lanes {
		if l.Kind != kind {
			continue
		}
		total++
		switch l.node {
		case node:
			mine = append(mine, l.Lane)
		case "":
			free = append(free, l)
		}
	}
	for _, m := range s.nodes {
		if slices.Contains(m.kinds, kind) {
			sharers++
		}
	}
	fair := (total + sharers - 1) / sharers
	if len(mine) > fair {
		return mine, len(mine) - fair
	}
	for _, l := range free[:min(fair-len(mine), len(free))] {
		l.node = node
		l.Epoch++
		mine = append(mine, l.Lane)
	}
	return mine, 0
}

func (s *memory) remove(node string) {
	delete(s.nodes, node)
	for _, l := range s.lanes {
		if l.node == node {
			l.node = ""
		}
	}
}

func (s *memory) Release(ctx context.Context, l saga.Lease, lanes []int64) error {
	return s.write(ctx, func() error {
		for _, lane := range s.lanes {
			if lane.node == l.Node && slices.Contains(lanes, lane.ID) {
				lane.node = ""
			}
		}
		return nil
	})
}

func (s *memory) Leave(ctx context.Context, l saga.Lease) error {
	return s.write(ctx, func() error { s.remove(l.Node); return nil })
}

func (s *memory) fence(l saga.Lease) error {
	if s.nodes[l.Node] == nil {
		return saga.ErrFenced
	}
	return nil
}

func (s *memory) Append(ctx context.Context, l saga.Lease, writes []saga.Write) ([]error, error) {
	results := make([]error, len(writes))
	err := s.write(ctx, func() error {
		if err := s.fence(l); err != nil {
			return err
		}
		for i, w := range writes {
			rows, err := encode(w)
			if err == nil && w.New && s.taken(w.Ref) {
				err = saga.ErrConflict
			}
			if err == nil {
				err = s.compare(w.Ref.UID, rows, true)
			}
			if results[i] = err; err == nil {
				s.apply(w, rows)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (s *memory) taken(r saga.Ref) bool {
	uid, taken := s.ids[r.ID]
	return taken && uid != r.UID
}

// compare looks at what stands under the numbers that are to be written: the same is a repetition, which may be allowed.
func (s *memory) compare(uid saga.UID, rows []row, repeat bool) error {
	k := s.sagas[uid]
	if k == nil {
		return nil
	}
	for _, r := range rows {
		i, there := slices.BinarySearchFunc(k.rows, r.seq, func(have row, seq int64) int { return cmp.Compare(have.seq, seq) })
		if there && (!repeat || k.rows[i].epoch != r.epoch || !bytes.Equal(k.rows[i].body, r.body)) {
			return saga.ErrStale
		}
	}
	return nil
}

func encode(w saga.Write) ([]row, error) {
	rows := make([]row, 0, len(w.Records))
	for _, r := range w.Records {
		body, err := saga.EncodeRecord(nil, r)
		if err != nil {
			return nil, fmt.Errorf("sagatest: record %d of %s does not encode: %w", r.Seq, w.Ref.ID, err)
		}
		rows = append(rows, row{r.Seq, w.LaneEpoch, r.Kind, body})
	}
	return rows, nil
}

// apply makes a write that nothing stands against.
func (s *memory) apply(w saga.Write, rows []row) {
	k := s.sagas[w.Ref.UID]
	if k == nil {
		k = &kept{ref: w.Ref, live: true}
		s.sagas[w.Ref.UID], s.ids[w.Ref.ID] = k, w.Ref.UID
	}
	for _, r := range rows {
		if n := len(k.rows); n == 0 || k.rows[n-1].seq < r.seq {
			k.rows = append(k.rows, r)
		}
	}
	s.dropMail(func(m saga.Mail) bool { return slices.Contains(w.MailDone, m.ID) })
	s.applySearch(k, w)
	switch {
	case w.End:
		k.live, k.sleep = false, time.Time{}
	case !w.Sleep.IsZero():
		k.sleep = w.Sleep.Truncate(time.Microsecond).UTC()
	case w.Wake:
		k.sleep = time.Time{}
	}
}

func (s *memory) dropMail(gone func(saga.Mail) bool) { s.mail = slices.DeleteFunc(s.mail, gone) }

func (s *memory) AppendTx(_ context.Context, tx data.Tx, l saga.Lease, w saga.Write) error {
	t, err := s.txOf(tx)
	if err != nil {
		return err
	}
	rows, err := encode(w)
	if err != nil {
		return err
	}
	return t.stage(func() error {
		if err := s.fence(l); err != nil {
			return err
		}
		return s.compare(w.Ref.UID, rows, false)
	}, func() { s.apply(w, rows) })
}

func (s *memory) Create(_ context.Context, tx data.Tx, w saga.Write) error {
	t, err := s.txOf(tx)
	if err != nil {
		return err
	}
	rows, err := encode(w)
	if err != nil {
		return err
	}
	return t.stage(func() error {
		i := slices.IndexFunc(s.lanes, func(l *owned) bool { return l.Kind == w.Ref.Kind })
		if i < 0 {
			return fmt.Errorf("sagatest: %w: %s", saga.ErrNotRegistered, w.Ref.Kind)
		}
		w.Ref.Lane = s.lanes[i+int(w.Ref.UID[15])%lanesPerKind].ID
		if other, twice := t.created[w.Ref.ID]; s.taken(w.Ref) || twice && other != w.Ref.UID {
			return saga.ErrConflict
		}
		if s.forkTaken(w) {
			return saga.ErrForked
		}
		t.created[w.Ref.ID] = w.Ref.UID
		return nil
	}, func() {
		if s.sagas[w.Ref.UID] != nil {
			return // a repetition
		}
		s.apply(w, rows)
		s.deliver(saga.Mail{Saga: w.Ref.UID, Kind: saga.MailStart, Dedupe: "start"})
	})
}

func (s *memory) Post(ctx context.Context, q data.Querier, m saga.Mail) error {
	if t, ok := q.(*memoryTx); ok {
		return t.stage(func() error { return s.postable(m) }, func() { s.deliver(m) })
	}
	return s.write(ctx, func() error {
		if err := s.postable(m); err != nil {
			return err
		}
		s.deliver(m)
		return nil
	})
}

func (s *memory) postable(m saga.Mail) error {
	if k := s.sagas[m.Saga]; k == nil || !k.live {
		return saga.ErrFinished
	}
	return nil
}

func (s *memory) deliver(m saga.Mail) {
	for _, have := range s.mail {
		if m.Dedupe != "" && have.Saga == m.Saga && have.Kind == m.Kind && have.Name == m.Name && have.Dedupe == m.Dedupe {
			return
		}
	}
	s.lastMail++
	m.ID, m.Lane, m.At = s.lastMail, s.sagas[m.Saga].ref.Lane, time.Now().Truncate(time.Microsecond).UTC()
	if len(m.Payload) == 0 {
		m.Payload = nil
	}
	s.mail = append(s.mail, m)
}

func (s *memory) Mail(_ context.Context, lanes []int64, after int64, limit int) ([]saga.Mail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.Mail
	for _, m := range s.mail {
		if m.ID > after && len(out) < limit && slices.Contains(lanes, m.Lane) {
			out = append(out, m)
		}
	}
	return out, nil
}

func (s *memory) DropMail(ctx context.Context, ids []int64) error {
	return s.write(ctx, func() error {
		s.dropMail(func(m saga.Mail) bool { return slices.Contains(ids, m.ID) })
		return nil
	})
}

func (s *memory) Load(_ context.Context, uids []saga.UID) ([]saga.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.History
	for _, uid := range uids {
		k := s.sagas[uid]
		if k == nil {
			continue
		}
		h := saga.History{Ref: k.ref}
		for _, r := range k.rows {
			rec, err := saga.DecodeRecord(r.seq, r.kind, r.body)
			if err != nil {
				h.Last, h.Err = saga.Record{Seq: r.seq}, errors.Join(h.Err, err)
				continue
			}
			if h.Last = rec; h.Err == nil {
				h.Records = append(h.Records, rec)
			}
		}
		out = append(out, h)
	}
	return out, nil
}

func (s *memory) Lookup(_ context.Context, id saga.ID) (saga.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uid, ok := s.ids[id]
	if !ok {
		return saga.Ref{}, saga.ErrNotFound
	}
	return s.sagas[uid].ref, nil
}

// refs are those of sagas that match, by UID.
func (s *memory) refs(match func(*kept) bool) []saga.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.Ref
	for _, k := range s.sagas {
		if match(k) {
			out = append(out, k.ref)
		}
	}
	slices.SortFunc(out, func(a, b saga.Ref) int { return bytes.Compare(a.UID[:], b.UID[:]) })
	return out
}

func (s *memory) List(_ context.Context, limit int) ([]saga.Ref, error) {
	all := s.refs(func(k *kept) bool { return k.live })
	slices.Reverse(all)
	return all[:min(limit, len(all))], nil
}

func (s *memory) Recoverable(_ context.Context, lanes []int64, after saga.UID, limit int) ([]saga.Ref, error) {
	all := s.refs(func(k *kept) bool {
		return k.live && k.sleep.IsZero() && slices.Contains(lanes, k.ref.Lane) && bytes.Compare(k.ref.UID[:], after[:]) > 0
	})
	return all[:min(limit, len(all))], nil
}

func (s *memory) Timers(_ context.Context, lanes []int64, after saga.Timer, limit int) ([]saga.Timer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.Timer
	for _, k := range s.sagas {
		t := saga.Timer{Ref: k.ref, Due: k.sleep}
		if k.live && !k.sleep.IsZero() && k.sleep.Before(saga.Forever) && slices.Contains(lanes, k.ref.Lane) && byDue(t, after) > 0 {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, byDue)
	return out[:min(limit, len(out))], nil
}

func (s *memory) Asleep(_ context.Context, lanes []int64) (map[int64]saga.Asleep, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]saga.Asleep{}
	for _, k := range s.sagas {
		if !k.live || k.sleep.IsZero() || !slices.Contains(lanes, k.ref.Lane) {
			continue
		}
		n := out[k.ref.Lane]
		if k.sleep.Before(saga.Forever) {
			n.Waiting++
		} else {
			n.Parked++
		}
		out[k.ref.Lane] = n
	}
	return out, nil
}

func byDue(a, b saga.Timer) int {
	return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Ref.UID[:], b.Ref.UID[:]))
}

// memoryDB is the database as the engine and the user's steps see it.
type memoryDB struct {
	data.DB
	s *memory
}

// InTx commits what was added to the journal together with the transaction of the database below.
func (d memoryDB) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	if ctx.Value(inside{}) == d.s {
		return fmt.Errorf("sagatest: begin: %w", data.ErrNestedTx)
	}
	if err := d.s.lock(ctx); err != nil {
		return err
	}
	defer d.s.unlock()
	var t *memoryTx
	err := d.DB.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		t = &memoryTx{Tx: tx, s: d.s, created: map[saga.ID]saga.UID{}}
		if err := fn(context.WithValue(ctx, inside{}, d.s), t); err != nil {
			return err
		}
		return t.failed
	})
	if err != nil {
		return err
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	for _, apply := range t.staged {
		apply()
	}
	return nil
}

func (d memoryDB) Exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	err = d.InTx(ctx, func(ctx context.Context, tx data.Tx) (err error) {
		n, err = tx.Exec(ctx, sql, args...)
		return err
	})
	return n, err
}

type inside struct{}

type memoryTx struct {
	data.Tx
	s       *memory
	created map[saga.ID]saga.UID
	staged  []func()
	failed  error
}

// stage keeps a change until the commit, if nothing stands against it: with one writer at a time, nothing will.
func (t *memoryTx) stage(check func() error, apply func()) error {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.failed != nil {
		return t.failed
	}
	if err := check(); err != nil {
		t.failed = err
		return err
	}
	t.staged = append(t.staged, apply)
	return nil
}

func (s *memory) txOf(tx data.Tx) (*memoryTx, error) {
	if t, ok := tx.(*memoryTx); ok && t.s == s {
		return t, nil
	}
	return nil, fmt.Errorf("sagatest: the transaction is of another database (%T): use the store's DB", tx)
}

// noDB is what transactions run on when there is no database: they may add to the journal and run no statements.
type noDB struct{}

var errNoDB = errors.New("sagatest: there is no database: pass one to NewStore, or the option Schema to Explore")

func (noDB) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	if err := fn(ctx, noTx{}); err != nil {
		return err
	}
	return ctx.Err()
}
func (noDB) Exec(context.Context, string, ...any) (int64, error)      { return 0, errNoDB }
func (noDB) Query(context.Context, string, ...any) (data.Rows, error) { return nil, errNoDB }
func (noDB) QueryRow(context.Context, string, ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return nil, errNoDB })
}
func (noDB) Dialect() data.Dialect      { return data.SQLite }
func (noDB) Ping(context.Context) error { return nil }
func (noDB) Close() error               { return nil }

type noTx struct{ noDB }

func (noTx) Unwrap() any { return nil }
