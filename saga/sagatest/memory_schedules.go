package sagatest

import (
	"context"
	"slices"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

var _ saga.ScheduleStore = (*memory)(nil)

// TakeSchedule locks nothing: there is one writer at a time.
func (s *memory) TakeSchedule(_ context.Context, tx data.Tx, l saga.Lease, lane saga.Lane, name string) (saga.ScheduleState, time.Time, error) {
	if _, err := s.txOf(tx); err != nil {
		return saga.ScheduleState{}, time.Time{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.lanes, func(o *owned) bool { return o.Lane == lane && o.node == l.Node }) || s.fence(l) != nil {
		return saga.ScheduleState{}, time.Time{}, saga.ErrFenced
	}
	return s.schedule(name), time.Now().Truncate(time.Microsecond), nil
}

func (s *memory) schedule(name string) saga.ScheduleState {
	st := s.schedules[name]
	st.Name = name
	if k := s.sagas[st.LastSaga]; k != nil {
		st.Live = k.live
	}
	return st
}

func (s *memory) KeepSchedule(_ context.Context, tx data.Tx, st saga.ScheduleState) error {
	t, err := s.txOf(tx)
	if err != nil {
		return err
	}
	return t.stage(func() error { return nil }, func() {
		was := s.schedules[st.Name]
		st.Paused, st.By, st.Live = was.Paused, was.By, false
		s.schedules[st.Name] = st
	})
}

func (s *memory) PauseSchedule(ctx context.Context, name string, paused bool, by saga.By) error {
	return s.write(ctx, func() error {
		st := s.schedules[name]
		switch {
		case paused == st.Paused:
			return nil
		case paused:
			st.By = by
		default:
			st.By, st.Mark = saga.By{}, time.Now().Truncate(time.Microsecond)
		}
		st.Name, st.Paused = name, paused
		s.schedules[name] = st
		return nil
	})
}

func (s *memory) Schedules(_ context.Context, names []string) ([]saga.ScheduleState, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []saga.ScheduleState
	for name := range s.schedules {
		if slices.Contains(names, name) {
			out = append(out, s.schedule(name))
		}
	}
	return out, time.Now().Truncate(time.Microsecond), nil
}
