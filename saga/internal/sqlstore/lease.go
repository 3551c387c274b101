package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
)

func parseUID(s string) (saga.UID, error) {
	id, err := uuidv7.Parse(s)
	return saga.UID(id), err
}

// Join announces an incarnation. Its name is new every time, so a lease is never taken up again.
func (s *Store) Join(ctx context.Context, node string, kinds []string, ttl time.Duration) (saga.Lease, error) {
	l := saga.Lease{Node: node + "-" + strings.ToLower(rand.Text()[:8]), Epoch: 1, TTL: ttl}
	err := s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into saga_node (node, epoch, kinds) values ($1, $2, $3)`, l.Node, l.Epoch, strings.Join(kinds, "\n"))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into saga_beat (node, at, ttl) values ($1, $2, $3)`, l.Node, now, ttl.Microseconds())
		return err
	})
	return l, err
}

// Beat prolongs the lease. Beats have a table of their own, so that they never wait for writes that hold the fence.
func (s *Store) Beat(ctx context.Context, l saga.Lease) (time.Time, error) {
	if !s.pg {
		now := time.Now().UnixMicro()
		n, err := s.beats.Exec(ctx, `update saga_beat set at = $2 where node = $1`, l.Node, now)
		if err == nil && n == 0 {
			err = saga.ErrFenced
		}
		return time.UnixMicro(now), err
	}
	var now int64
	err := s.beats.QueryRow(ctx, `update saga_beat set at = (extract(epoch from clock_timestamp()) * 1000000)::bigint
		where node = $1 returning at`, l.Node).Scan(&now)
	if errors.Is(err, data.ErrNoRows) {
		err = saga.ErrFenced
	}
	return time.UnixMicro(now), err
}

type member struct {
	node    string
	kinds   []string
	at, ttl int64 // microseconds
}

// Claim fences the dead and takes the lanes that this node should have.
func (s *Store) Claim(ctx context.Context, l saga.Lease) (owned []saga.Lane, surplus map[string]int, err error) {
	owned, surplus, err = s.claim(ctx, l)
	if s.pg && data.KindOf(err) == data.KindTimeout && ctx.Err() == nil {
		if err := s.evictZombies(ctx, l.TTL); err != nil {
			return nil, nil, err
		}
		return s.claim(ctx, l)
	}
	return owned, surplus, err
}

// evictZombies ends sessions that hold a node's fence or the lanes in a transaction which has done nothing for ttl: a healthy
// node holds them for milliseconds, and one that was stopped in between would keep everybody from taking its work over.
func (s *Store) evictZombies(ctx context.Context, ttl time.Duration) error {
	_, err := s.work.Exec(ctx, `select pg_terminate_backend(a.pid) from pg_stat_activity a
		where a.state like 'idle in transaction%' and a.state_change < clock_timestamp() - make_interval(secs => $1) and a.usename = current_user
		and exists (select 1 from pg_locks l where l.pid = a.pid and l.relation in ('saga_node'::regclass, 'saga_lane'::regclass) and l.database = (
			select oid from pg_database where datname = current_database()))`, ttl.Seconds())
	return err
}

func (s *Store) claim(ctx context.Context, l saga.Lease) (owned []saga.Lane, surplus map[string]int, err error) {
	err = s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		owned, surplus = nil, map[string]int{}
		if s.pg { // one claim at a time; a zombie's open transaction delays this one only so long, and a zombie's claim nobody
			wait := min(500*time.Millisecond, l.TTL/8)
			var ignore string
			err := tx.QueryRow(ctx, `select set_config('lock_timeout', $1, true) || set_config('idle_in_transaction_session_timeout', $2, true)`,
				strconv.FormatInt(wait.Milliseconds(), 10), strconv.FormatInt(l.TTL.Milliseconds()/2, 10)).Scan(&ignore)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `lock table saga_lane in share row exclusive mode`); err != nil {
				return err
			}
		}
		alive, err := s.bury(ctx, tx, l)
		if err != nil {
			return err
		}
		if err := s.noteSeen(ctx, tx, alive); err != nil {
			return err
		}
		me := slices.IndexFunc(alive, func(m member) bool { return m.node == l.Node })
		if me < 0 {
			return saga.ErrFenced
		}
		for _, kind := range alive[me].kinds {
			lanes, extra, err := s.claimKind(ctx, tx, l, kind, alive)
			if err != nil {
				return err
			}
			owned, surplus[kind] = append(owned, lanes...), extra
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return owned, surplus, nil
}

// bury fences every node that has not beaten for its own TTL and frees its lanes. A node of a version that did not tell its
// TTL is judged by the one who asks. Removing the row is the fence: every write of a
// node reads it in its own transaction.
func (s *Store) bury(ctx context.Context, tx data.Tx, l saga.Lease) ([]member, error) {
	now, err := s.now(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `select n.node, n.kinds, b.at, coalesce(b.ttl, $1) from saga_node n
		join saga_beat b on b.node = n.node order by n.node`, l.TTL.Microseconds())
	if err != nil {
		return nil, err
	}
	var alive, dead, ahead []member
	if err := collect(rows, func() error {
		var m member
		var kinds string
		if err := rows.Scan(&m.node, &kinds, &m.at, &m.ttl); err != nil {
			return err
		}
		m.kinds = strings.Split(kinds, "\n")
		if m.at < now-m.ttl && m.node != l.Node {
			dead = append(dead, m)
		} else {
			alive = append(alive, m)
		}
		if m.at > now+m.ttl {
			ahead = append(ahead, m)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, m := range ahead { // the clock was set back: who lives beats by the new time, and nobody lasts until the old one returns
		if _, err := tx.Exec(ctx, `update saga_beat set at = $1 where node = $2 and at = $3`, now, m.node, m.at); err != nil {
			return nil, err
		}
	}
	for _, m := range dead {
		if err := s.remove(ctx, tx, m.node); err != nil {
			return nil, fmt.Errorf("fence node %s: %w", m.node, err)
		}
	}
	return alive, nil
}

func (s *Store) remove(ctx context.Context, tx data.Tx, node string) error {
	for _, q := range []string{
		`delete from saga_node where node = $1`,
		`delete from saga_beat where node = $1`,
		`update saga_lane set node = null where node = $1`,
	} {
		if _, err := tx.Exec(ctx, q, node); err != nil {
			return err
		}
	}
	return nil
}

// claimKind returns the lanes of a kind that the node owns now, and how many of them are more than its share.
func (s *Store) claimKind(ctx context.Context, tx data.Tx, l saga.Lease, kind string, alive []member) ([]saga.Lane, int, error) {
	rows, err := tx.Query(ctx, `select id, epoch, coalesce(node, '') from saga_lane where kind = $1 order by n`, kind)
	if err != nil {
		return nil, 0, err
	}
	var mine, free []saga.Lane
	total := 0
	if err := collect(rows, func() error {
		lane := saga.Lane{Kind: kind}
		var node string
		if err := rows.Scan(&lane.ID, &lane.Epoch, &node); err != nil {
			return err
		}
		total++
		switch node {
		case l.Node:
			mine = append(mine, lane)
		case "":
			free = append(free, lane)
		}
		return nil
	}); err != nil {
		return nil, 0, err
	}
	sharers := 0
	for _, m := range alive {
		if slices.Contains(m.kinds, kind) {
			sharers++
		}
	}
	fair := (total + sharers - 1) / sharers
	if len(mine) > fair {
		return mine, len(mine) - fair, nil
	}
	free = free[:min(fair-len(mine), len(free))]
	for i := range free {
		free[i].Epoch++
		_, err := tx.Exec(ctx, `update saga_lane set node = $1, epoch = $2 where id = $3`, l.Node, free[i].Epoch, free[i].ID)
		if err != nil {
			return nil, 0, err
		}
	}
	return append(mine, free...), 0, nil
}

// Release gives lanes back.
func (s *Store) Release(ctx context.Context, l saga.Lease, lanes []int64) error {
	_, err := s.work.Exec(ctx, s.sql(`update saga_lane set node = null where id = {any:$1} and node = $2`), s.ints(lanes), l.Node)
	return err
}

// Leave ends the lease.
func (s *Store) Leave(ctx context.Context, l saga.Lease) error {
	return s.work.InTx(ctx, func(ctx context.Context, tx data.Tx) error { return s.remove(ctx, tx, l.Node) })
}
