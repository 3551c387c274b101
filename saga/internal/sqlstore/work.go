package sqlstore

import (
	"context"
	"math"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// The statements by which a node finds its work. On PostgreSQL each walks an index lane by lane and stops at the limit, so
// its cost does not depend on how many sagas there are; a list of lanes in one condition would make it sort all of them.

// Recoverable returns live sagas of the lanes that are not asleep. The subquery in the target list is one the planner cannot
// turn into a join over the whole of saga_timer.
func (s *Store) Recoverable(ctx context.Context, lanes []int64, after saga.UID, limit int) ([]saga.Ref, error) {
	if s.pg {
		return s.refsFrom(ctx, s.work, `select k.uid, k.id, k.kind, k.lane, k.input_hash
			from (select w.uid from unnest($1::bigint[]) as l(lane) cross join lateral (
				select a.uid from saga_active a where a.lane = l.lane and a.uid > $2
					and (select true from saga_timer t where t.uid = a.uid) is null
				order by a.uid limit $3) w order by w.uid limit $3) p
			cross join lateral (select * from saga_key k where k.uid = p.uid offset 0) k order by k.uid`, lanes, s.uid(after), limit)
	}
	return s.refsFrom(ctx, s.work, s.sql(`select k.uid, k.id, k.kind, k.lane, k.input_hash from saga_active a join saga_key k on k.uid = a.uid
		where a.lane = {any:$1} and a.uid > $2 and not exists (select 1 from saga_timer t where t.uid = a.uid)
		order by a.uid limit $3`), s.ints(lanes), s.uid(after), limit)
}

// Timers returns a page of sleeping sagas.
func (s *Store) Timers(ctx context.Context, lanes []int64, after saga.Timer, limit int) ([]saga.Timer, error) {
	from := int64(math.MinInt64)
	if !after.Due.IsZero() {
		from = after.Due.UnixMicro()
	}
	q := `select k.uid, k.id, k.kind, k.lane, k.input_hash, t.due from saga_timer t join saga_key k on k.uid = t.uid
		where t.lane = {any:$1} and t.due < $5 and (t.due, t.uid) > ($2, $3) order by t.due, t.uid limit $4`
	if s.pg {
		q = `select k.uid, k.id, k.kind, k.lane, k.input_hash, p.due
			from (select w.* from unnest($1::bigint[]) as l(lane) cross join lateral (
				select t.due, t.uid from saga_timer t where t.lane = l.lane and (t.due, t.uid) > ($2, $3) and t.due < $5
				order by t.due, t.uid limit $4) w order by w.due, w.uid limit $4) p
			cross join lateral (select * from saga_key k where k.uid = p.uid offset 0) k order by p.due, p.uid`
	}
	rows, err := s.work.Query(ctx, s.sql(q), s.ints(lanes), from, s.uid(after.Ref.UID), limit, saga.Forever.UnixMicro())
	if err != nil {
		return nil, err
	}
	var out []saga.Timer
	err = collect(rows, func() error {
		var t saga.Timer
		var due int64
		if err := rows.Scan(uidScanner{&t.Ref.UID}, &t.Ref.ID, &t.Ref.Kind, &t.Ref.Lane, &t.Ref.InputHash, &due); err != nil {
			return err
		}
		t.Due = time.UnixMicro(due).UTC()
		out = append(out, t)
		return nil
	})
	return out, err
}
