package sqlstore

import (
	"context"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// seenEvery is how often a definition that is run is noted as such.
const seenEvery = 30 * time.Second

// noteSeen notes which definitions the live nodes run.
func (s *Store) noteSeen(ctx context.Context, tx data.Tx, alive []member) error {
	now, err := s.now(ctx, tx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, m := range alive {
		for _, kind := range m.kinds {
			known[kind] = true
		}
	}
	rows, err := tx.Query(ctx, `select kind from saga_def where seen < $1`, now-seenEvery.Microseconds())
	if err != nil {
		return err
	}
	var stale []string
	if err := collect(rows, func() error {
		var kind string
		err := rows.Scan(&kind)
		if known[kind] {
			stale = append(stale, kind)
		}
		return err
	}); err != nil {
		return err
	}
	for _, kind := range stale {
		if _, err := tx.Exec(ctx, `update saga_def set seen = $2 where kind = $1`, kind, now); err != nil {
			return err
		}
	}
	return nil
}

// Strays finds the live sagas that nobody can work for and those of which that is no longer true.
func (s *Store) Strays(ctx context.Context, grace time.Duration, mark bool, limit int) (marked map[string]int, more bool, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		marked, more = map[string]int{}, false
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		since := now - max(grace, 2*seenEvery).Microseconds()
		n, err := tx.Exec(ctx, `delete from saga_state where uid in (select s.uid from saga_state s join saga_key k on k.uid = s.uid
			join saga_def d on d.kind = k.kind where s.stray and d.seen >= $1 limit $2)`, since, limit)
		if err != nil {
			return err
		}
		if more = n == int64(limit); !mark || more {
			return nil
		}
		return s.markStrays(ctx, tx, marked, &more, since, now, grace, limit)
	})
	return marked, more, err
}

func (s *Store) markStrays(
	ctx context.Context, tx data.Tx, marked map[string]int, more *bool, since, now int64, grace time.Duration, limit int,
) error {
	rows, err := tx.Query(ctx, `select kind from saga_def where seen < $1`, since)
	if err != nil {
		return err
	}
	var kinds []string
	if err := collect(rows, func() error {
		var kind string
		err := rows.Scan(&kind)
		kinds = append(kinds, kind)
		return err
	}); err != nil {
		return err
	}
	for _, kind := range kinds {
		n, err := tx.Exec(ctx, `insert into saga_state (uid, state, step, reason, since, stray)
			select a.uid, $2, '', $3, $4, true from saga_active a where a.lane in (select id from saga_lane where kind = $1)
			and not exists (select 1 from saga_state s where s.uid = a.uid) limit $5 on conflict do nothing`,
			kind, string(saga.StateParked), saga.StrayReason(kind, grace), now, limit)
		if err != nil {
			return err
		}
		if n > 0 {
			marked[kind] = int(n)
		}
		if n == int64(limit) {
			*more = true
			return nil
		}
	}
	return nil
}
