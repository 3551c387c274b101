package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

var _ saga.QueueStore = (*Store)(nil)

// A row of saga_queue is in one of three states: 0, ready; 1, aside; 2, admitted. The queue's owner takes ready rows in order.
// One whose key is taken it moves aside, so that a long line behind one key is not read again and again; whoever gives a key up
// makes the first of that line ready, in the same commit. So of the key of every row that stands aside there is another row that
// is ready or admitted. The states stand in the statements as they are, because the indexes name them.

// enqueue gives a new saga its place. Repeated after the saga has ended it does nothing.
func (s *Store) enqueue(ctx context.Context, tx data.Tx, w saga.Write) error {
	now, err := s.now(ctx, tx)
	if err != nil {
		return err
	}
	t := w.Ticket
	_, err = tx.Exec(ctx, `insert into saga_queue (uid, lane, queue, key, rank, since, state)
		select a.uid, a.lane, $2, $3, $4, $5, 0 from saga_active a where a.uid = $1 on conflict (uid) do nothing`,
		s.uid(w.Ref.UID), t.Queue, t.Key, now-t.HeadStart.Microseconds(), now)
	return err
}

// createQueued gives a saga of anybody's lane its place. It sleeps until it is admitted.
func (s *Store) createQueued(ctx context.Context, tx data.Tx, w saga.Write) error {
	if err := s.enqueue(ctx, tx, w); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `insert into saga_timer (uid, lane, due) select uid, lane, $2 from saga_queue where uid = $1 and state = 0
		on conflict (uid) do nothing`, s.uid(w.Ref.UID), w.Sleep.UnixMicro())
	return err
}

// keepQueues does for a batch what queues need.
func (s *Store) keepQueues(ctx context.Context, tx data.Tx, writes []saga.Write) error {
	var ended []saga.UID
	for _, w := range writes {
		if w.Ticket != nil {
			if err := s.enqueue(ctx, tx, w); err != nil {
				return err
			}
		}
		if w.Leave {
			ended = append(ended, w.Ref.UID)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	return s.leaveQueues(ctx, tx, ended)
}

type queueKey struct{ queue, key string }

// leaveQueues removes rows and makes the first that stands aside behind each of their keys ready. The second statement must see
// what was committed while the first one waited for the owner of the queue; see heldKeys.
func (s *Store) leaveQueues(ctx context.Context, tx data.Tx, ended []saga.UID) error {
	rows, err := tx.Query(ctx, s.sql(`delete from saga_queue where uid = {uids:$1} returning queue, key`), s.uids(ended))
	if err != nil {
		return err
	}
	given := map[queueKey]bool{}
	if err := collect(rows, func() error {
		var k queueKey
		err := rows.Scan(&k.queue, &k.key)
		given[k] = true
		return err
	}); err != nil {
		return err
	}
	for k := range given {
		if k.key == "" {
			continue
		}
		if _, err := tx.Exec(ctx, `update saga_queue set state = 0 where state = 1 and uid = (select uid from saga_queue
			where queue = $1 and key = $2 and state = 1 order by rank, ord limit 1)`, k.queue, k.key); err != nil {
			return err
		}
	}
	return nil
}

const (
	admitPage  = 500  // rows locked at once
	admitSpare = 16   // of these, how many more than could be admitted, because some may have to stand aside
	admitBound = 2000 // rows handled in one commit
)

// Admit lets waiting sagas begin.
func (s *Store) Admit(ctx context.Context, l saga.Lease, lane saga.Lane, limits saga.QueueLimits) (saga.Admission, error) {
	var done saga.Admission
	err := s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		done = saga.Admission{}
		if err := s.ownsLane(ctx, tx, l, lane); err != nil {
			return err
		}
		a := admission{s: s, tx: tx, limits: limits, done: &done}
		if err := a.allow(ctx); err != nil || a.allowed == 0 {
			return err
		}
		return a.run(ctx)
	})
	return done, err
}

// ownsLane checks the fence and the lane; neither changes before the transaction ends.
func (s *Store) ownsLane(ctx context.Context, tx data.Tx, l saga.Lease, lane saga.Lane) error {
	var one int
	err := tx.QueryRow(ctx, s.sql(`select 1 from saga_node n join saga_lane l on l.node = n.node
		where n.node = $1 and n.epoch = $2 and l.id = $3 and l.epoch = $4 {share}`), l.Node, l.Epoch, lane.ID, lane.Epoch).Scan(&one)
	if errors.Is(err, data.ErrNoRows) {
		return saga.ErrFenced
	}
	return err
}

// admission is one call of Admit. The row that keeps the rate is locked throughout, so admissions of one queue happen one
// after the other whoever makes them.
type admission struct {
	s       *Store
	tx      data.Tx
	limits  saga.QueueLimits
	now     int64 // microseconds
	next    int64 // the rate lets the next one begin at this time, less the burst
	allowed int
	done    *saga.Admission
}

// allow finds out how many may begin.
func (a *admission) allow(ctx context.Context) (err error) {
	q := a.limits.Queue
	err = a.tx.QueryRow(ctx, a.s.sql(`select next from saga_rate where queue = $1 {update}`), q).Scan(&a.next)
	if errors.Is(err, data.ErrNoRows) {
		if _, err := a.tx.Exec(ctx, `insert into saga_rate (queue, next) values ($1, 0) on conflict do nothing`, q); err != nil {
			return err
		}
		err = a.tx.QueryRow(ctx, a.s.sql(`select next from saga_rate where queue = $1 {update}`), q).Scan(&a.next)
	}
	if err != nil {
		return err
	}
	if a.now, err = a.s.now(ctx, a.tx); err != nil {
		return err
	}
	a.allowed = admitBound
	if limit := a.limits.Concurrency; limit > 0 {
		var running int
		if err := a.tx.QueryRow(ctx, `select count(*) from (select 1 from saga_queue where queue = $1 and state = 2 limit $2) r`,
			q, limit).Scan(&running); err != nil {
			return err
		}
		a.allowed = min(a.allowed, limit-running)
	}
	if interval := a.interval(); interval > 0 && a.allowed > 0 {
		burst := int64(a.limits.Burst) * interval
		if a.next > a.now+burst { // the numbers or the clock have changed
			a.next = a.now + burst
			if err := a.keepRate(ctx); err != nil {
				return err
			}
		}
		a.next = max(a.next, a.now)
		free := (a.now + burst - a.next) / interval
		if free == 0 {
			a.done.Next = a.wait()
		}
		a.allowed = int(min(int64(a.allowed), free))
	}
	return nil
}

// wait is how long the rate keeps the next saga; negative: it does not.
func (a *admission) wait() time.Duration {
	return time.Duration(a.next-(int64(a.limits.Burst)-1)*a.interval()-a.now) * time.Microsecond
}

// interval is in microseconds, rounded up so that the rate is never exceeded.
func (a *admission) interval() int64 {
	return int64((a.limits.Interval + time.Microsecond - 1) / time.Microsecond)
}

type candidate struct {
	uid  saga.UID
	lane int64
	key  string
}

func (a *admission) run(ctx context.Context) error {
	seen := 0
	for a.done.Admitted < a.allowed {
		limit := min(a.allowed-a.done.Admitted+admitSpare, admitPage)
		page, err := a.candidates(ctx, limit)
		if err != nil {
			return err
		}
		admit, aside, skipped, err := a.judge(ctx, page)
		if err != nil {
			return err
		}
		if err := a.write(ctx, admit, aside); err != nil {
			return err
		}
		seen += len(page)
		if len(page) < limit || skipped > 0 || seen >= admitBound {
			break
		}
	}
	a.done.More = seen >= admitBound
	interval := a.interval()
	if a.done.Admitted == 0 || interval == 0 {
		return nil
	}
	a.next += int64(a.done.Admitted) * interval
	if a.done.Admitted == a.allowed {
		a.done.Next = max(a.wait(), 0)
	}
	return a.keepRate(ctx)
}

func (a *admission) keepRate(ctx context.Context) error {
	_, err := a.tx.Exec(ctx, `update saga_rate set next = $2 where queue = $1`, a.limits.Queue, a.next)
	return err
}

// candidates locks the first ready rows. Those whose saga is just ending are locked already and left out.
func (a *admission) candidates(ctx context.Context, limit int) ([]candidate, error) {
	rows, err := a.tx.Query(ctx, a.s.sql(`select uid, lane, key from saga_queue where queue = $1 and state = 0
		order by rank, ord limit $2 {skip}`), a.limits.Queue, limit)
	if err != nil {
		return nil, err
	}
	var page []candidate
	err = collect(rows, func() error {
		var c candidate
		err := rows.Scan(uidScanner{&c.uid}, &c.lane, &c.key)
		page = append(page, c)
		return err
	})
	return page, err
}

// judge tells which rows are admitted and which stand aside because their key is taken. A row whose key is just being given
// up is neither: the next round looks again.
func (a *admission) judge(ctx context.Context, page []candidate) (admit []candidate, aside []saga.UID, skipped int, err error) {
	held, err := a.heldKeys(ctx, page)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, c := range page {
		switch {
		case a.done.Admitted+len(admit) == a.allowed:
			return admit, aside, skipped, nil
		case c.key == "":
			admit = append(admit, c)
		case held[c.key] == keyFree:
			admit, held[c.key] = append(admit, c), keyHeld
		case held[c.key] == keyHeld:
			aside = append(aside, c.uid)
		default:
			skipped++
		}
	}
	return admit, aside, skipped, nil
}

type keyState uint8

const (
	keyFree   keyState = iota
	keyEnding          // its saga may be ending
	keyHeld            // its saga stays admitted until this transaction ends
)

// heldKeys tells which keys of the page are taken. The rows that take them are locked, so that an ending saga waits and then
// finds the rows that stand aside for it. Those that are locked already belong to sagas that are ending; nobody waits for them.
func (a *admission) heldKeys(ctx context.Context, page []candidate) (map[string]keyState, error) {
	var keys []string
	for _, c := range page {
		if c.key != "" {
			keys = append(keys, c.key)
		}
	}
	held := map[string]keyState{}
	if len(keys) == 0 {
		return held, nil
	}
	read := func(lock string, state keyState) error {
		rows, err := a.tx.Query(ctx, a.s.sql(`select key from saga_queue where queue = $1 and key = {texts:$2} and state = 2`+lock),
			a.limits.Queue, a.s.texts(keys))
		if err != nil {
			return err
		}
		return collect(rows, func() error {
			var key string
			err := rows.Scan(&key)
			held[key] = state
			return err
		})
	}
	if err := read("", keyEnding); err != nil {
		return nil, err
	}
	return held, read(" {skip}", keyHeld)
}

func (a *admission) write(ctx context.Context, admit []candidate, aside []saga.UID) error {
	if len(aside) > 0 {
		if _, err := a.tx.Exec(ctx, a.s.sql(`update saga_queue set state = 1 where uid = {uids:$1}`), a.s.uids(aside)); err != nil {
			return err
		}
	}
	if len(admit) == 0 {
		return nil
	}
	a.done.Admitted += len(admit)
	uids := make([]saga.UID, 0, len(admit))
	for _, c := range admit {
		uids = append(uids, c.uid)
	}
	if _, err := a.tx.Exec(ctx, a.s.sql(`update saga_queue set state = 2 where uid = {uids:$1}`), a.s.uids(uids)); err != nil {
		return err
	}
	_, err := a.tx.Exec(ctx, a.s.sql(`insert into saga_mail (lane, uid, kind, name, dedupe, payload, rejected, actor, reason)
		select lane, uid, 'admit', '', 'admit', '', false, '', '' from saga_queue where uid = {uids:$1} order by rank, ord`), a.s.uids(uids))
	return err
}

// QueueStats counts rows.
func (s *Store) QueueStats(ctx context.Context, queues []string) ([]saga.QueueStats, error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, s.sql(`select queue, sum(case when state = 2 then 0 else 1 end), sum(case when state = 2 then 1 else 0 end),
		coalesce(min(case when state = 2 then null else since end), 0) from saga_queue where queue = {texts:$1} group by queue order by queue`),
		s.texts(queues))
	if err != nil {
		return nil, err
	}
	var out []saga.QueueStats
	err = collect(rows, func() error {
		var st saga.QueueStats
		var oldest int64
		err := rows.Scan(&st.Queue, &st.Waiting, &st.Running, &oldest)
		if oldest > 0 {
			st.Oldest = max(time.Duration(now-oldest)*time.Microsecond, 0)
		}
		out = append(out, st)
		return err
	})
	return out, err
}
