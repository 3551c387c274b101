package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

var _ saga.ScheduleStore = (*Store)(nil)

const scheduleColumns = `s.name, s.expression, s.mark, s.last, s.last_uid, s.skipped, s.paused, s.actor, s.reason,
	exists (select 1 from saga_active a where a.uid = s.last_uid)`

// TakeSchedule locks the schedule's row.
func (s *Store) TakeSchedule(ctx context.Context, tx data.Tx, l saga.Lease, lane saga.Lane, name string) (saga.ScheduleState, time.Time, error) {
	st, err := s.takeSchedule(ctx, tx, l, lane, name)
	if err != nil {
		return st, time.Time{}, err
	}
	now, err := s.now(ctx, tx) // behind the lock, for which it may have waited
	return st, time.UnixMicro(now), err
}

func (s *Store) takeSchedule(ctx context.Context, tx data.Tx, l saga.Lease, lane saga.Lane, name string) (st saga.ScheduleState, err error) {
	if err := s.ownsLane(ctx, tx, l, lane); err != nil {
		return st, err
	}
	lock := func() (one int, err error) {
		err = tx.QueryRow(ctx, s.sql(`select 1 from saga_schedule where name = $1 {update}`), name).Scan(&one)
		return one, err
	}
	_, err = lock()
	if errors.Is(err, data.ErrNoRows) {
		if err = s.insertSchedule(ctx, tx, name); err == nil {
			_, err = lock()
		}
	}
	if err != nil {
		return st, err
	}
	// A statement of its own, so that it sees the saga of whoever held the lock before.
	row := tx.QueryRow(ctx, `select `+scheduleColumns+` from saga_schedule s where s.name = $1`, name)
	return st, scanSchedule(row.Scan, &st)
}

func (s *Store) insertSchedule(ctx context.Context, tx data.Tx, name string) error {
	_, err := tx.Exec(ctx, `insert into saga_schedule (name, last_uid) values ($1, $2) on conflict do nothing`, name, s.uid(saga.UID{}))
	return err
}

func scanSchedule(scan func(...any) error, st *saga.ScheduleState) error {
	var mark, last int64
	err := scan(&st.Name, &st.Expression, &mark, &last, uidScanner{&st.LastSaga}, &st.Skipped, &st.Paused, &st.By.Actor, &st.By.Reason, &st.Live)
	st.Mark, st.Last = unixMicro(mark), unixMicro(last)
	return err
}

// unixMicro reads 0 as no time.
func unixMicro(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us)
}

func microsOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// KeepSchedule writes the row.
func (s *Store) KeepSchedule(ctx context.Context, tx data.Tx, st saga.ScheduleState) error {
	_, err := tx.Exec(ctx, `update saga_schedule set expression = $2, mark = $3, last = $4, last_uid = $5, skipped = $6 where name = $1`,
		st.Name, st.Expression, microsOf(st.Mark), microsOf(st.Last), s.uid(st.LastSaga), st.Skipped)
	return err
}

// PauseSchedule writes the row, which may not be there yet.
func (s *Store) PauseSchedule(ctx context.Context, name string, paused bool, by saga.By) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		if err := s.insertSchedule(ctx, tx, name); err != nil {
			return err
		}
		if paused {
			_, err := tx.Exec(ctx, `update saga_schedule set paused = true, actor = $2, reason = $3 where name = $1 and not paused`,
				name, by.Actor, by.Reason)
			return err
		}
		now, err := s.now(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update saga_schedule set paused = false, actor = '', reason = '', mark = $2 where name = $1 and paused`, name, now)
		return err
	})
}

// Schedules reads rows.
func (s *Store) Schedules(ctx context.Context, names []string) ([]saga.ScheduleState, time.Time, error) {
	now, err := s.now(ctx, s.db)
	if err != nil {
		return nil, time.Time{}, err
	}
	rows, err := s.db.Query(ctx, s.sql(`select `+scheduleColumns+` from saga_schedule s where s.name = {texts:$1}`), s.texts(names))
	if err != nil {
		return nil, time.Time{}, err
	}
	var out []saga.ScheduleState
	err = collect(rows, func() error {
		var st saga.ScheduleState
		err := scanSchedule(rows.Scan, &st)
		out = append(out, st)
		return err
	})
	return out, time.UnixMicro(now), err
}
