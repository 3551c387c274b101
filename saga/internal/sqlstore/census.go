package sqlstore

import (
	"context"

	"github.com/marty-framework/mmf/saga"
)

// Asleep counts the sleeping sagas of lanes from the index of timers.
func (s *Store) Asleep(ctx context.Context, lanes []int64) (map[int64]saga.Asleep, error) {
	rows, err := s.db.Query(ctx, s.sql(`select lane, count(*) filter (where due < $2), count(*) filter (where due >= $2)
		from saga_timer where lane = {any:$1} group by lane`), s.ints(lanes), saga.Forever.UnixMicro())
	if err != nil {
		return nil, err
	}
	out := map[int64]saga.Asleep{}
	err = collect(rows, func() error {
		var lane int64
		var n saga.Asleep
		err := rows.Scan(&lane, &n.Waiting, &n.Parked)
		out[lane] = n
		return err
	})
	return out, err
}
