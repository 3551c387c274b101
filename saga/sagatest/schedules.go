package sagatest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// ExerciseSchedules runs the contract of [saga.ScheduleStore] against a store that has schedules. Open is as for
// [ExerciseStore].
func ExerciseSchedules(t *testing.T, open func(t *testing.T) saga.Store) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*scheduleFixture)
	}{
		{"what was kept is read back", (*scheduleFixture).kept},
		{"a transaction that fails keeps nothing", (*scheduleFixture).rolledBack},
		{"the last saga lives and ends", (*scheduleFixture).live},
		{"only the owner of the lane takes it", (*scheduleFixture).fenced},
		{"takers come one after the other", (*scheduleFixture).oneByOne},
		{"pausing and resuming", (*scheduleFixture).paused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &scheduleFixture{fixture: fixture{T: t, store: open(t), kind: "order@1"}}
			schedules, ok := f.store.(saga.ScheduleStore)
			require.True(t, ok, "the store has no schedules")
			f.schedules = schedules
			f.join()
			c.test(f)
		})
	}
}

type scheduleFixture struct {
	fixture
	schedules saga.ScheduleStore

	lease saga.Lease
	lanes []saga.Lane // of the sagas
	lane  saga.Lane   // of the schedule
}

const scheduleName = "nightly"

func (f *scheduleFixture) join() {
	f.Helper()
	kind := "schedule/" + scheduleName
	require.NoError(f, f.store.Register(f.Context(), []saga.DefInfo{
		{Kind: f.kind, Fingerprint: "a"}, {Kind: kind, Fingerprint: "schedule", Lanes: 1},
	}))
	lease, err := f.store.Join(f.Context(), "one", []string{f.kind, kind}, time.Minute)
	require.NoError(f, err)
	f.lease = lease
	owned, _, err := f.store.Claim(f.Context(), lease)
	require.NoError(f, err)
	for _, l := range owned {
		if l.Kind == f.kind {
			f.lanes = append(f.lanes, l)
			continue
		}
		require.Zero(f, f.lane, "a schedule has one lane")
		f.lane = l
	}
	require.NotZero(f, f.lane)
}

// take changes the schedule in a transaction.
func (f *scheduleFixture) take(change func(ctx context.Context, tx data.Tx, s *saga.ScheduleState) error) error {
	return f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
		s, now, err := f.schedules.TakeSchedule(ctx, tx, f.lease, f.lane, scheduleName)
		if err != nil {
			return err
		}
		require.WithinDuration(f, time.Now(), now, time.Minute)
		require.Equal(f, scheduleName, s.Name)
		if err := change(ctx, tx, &s); err != nil {
			return err
		}
		return f.schedules.KeepSchedule(ctx, tx, s)
	})
}

// state is what is kept, with times in UTC.
func (f *scheduleFixture) state() saga.ScheduleState {
	f.Helper()
	list, now, err := f.schedules.Schedules(f.Context(), []string{"other", scheduleName})
	require.NoError(f, err)
	require.WithinDuration(f, time.Now(), now, time.Minute)
	if len(list) == 0 {
		return saga.ScheduleState{}
	}
	require.Len(f, list, 1)
	s := list[0]
	s.Mark, s.Last = s.Mark.UTC(), s.Last.UTC()
	return s
}

func (f *scheduleFixture) kept() {
	require.Zero(f, f.state(), "nothing is kept of it yet")
	want := saga.ScheduleState{
		Name: scheduleName, Expression: "0 3 * * * Europe/Berlin", Mark: time.Date(2026, 11, 22, 3, 0, 0, 1000, time.UTC),
		Last: time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC), LastSaga: saga.UID{1}, Skipped: 7,
	}
	require.NoError(f, f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error {
		require.Equal(f, saga.ScheduleState{Name: scheduleName}, *s)
		*s = want
		return nil
	}))
	require.Equal(f, want, f.state())
	require.NoError(f, f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error {
		require.True(f, want.Mark.Equal(s.Mark) && want.Last.Equal(s.Last))
		require.Equal(f, want.LastSaga, s.LastSaga)
		s.Last, s.LastSaga = time.Time{}, saga.UID{}
		return nil
	}))
	require.Zero(f, f.state().Last)
}

func (f *scheduleFixture) rolledBack() {
	stop := errors.New("stop")
	require.ErrorIs(f, f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error {
		s, _, err := f.schedules.TakeSchedule(ctx, tx, f.lease, f.lane, scheduleName)
		require.NoError(f, err)
		s.Skipped = 1
		require.NoError(f, f.store.Create(ctx, tx, f.newSaga("a", saga.Lane{Kind: f.kind})))
		require.NoError(f, f.schedules.KeepSchedule(ctx, tx, s))
		return stop
	}), stop)
	require.Zero(f, f.state())
	_, err := f.store.Lookup(f.Context(), "a")
	require.ErrorIs(f, err, saga.ErrNotFound)
}

func (f *scheduleFixture) live() {
	w := f.newSaga("a", f.lanes[0])
	require.NoError(f, f.take(func(ctx context.Context, tx data.Tx, s *saga.ScheduleState) error {
		s.LastSaga = w.Ref.UID
		return f.store.Create(ctx, tx, w)
	}))
	require.True(f, f.state().Live)
	require.NoError(f, f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error {
		require.True(f, s.Live)
		return nil
	}))
	ref, err := f.store.Lookup(f.Context(), "a")
	require.NoError(f, err)
	end := saga.Write{Ref: ref, Records: []saga.Record{{Seq: 2, Kind: saga.Ended, At: time.Now()}}, End: true}
	for _, l := range f.lanes {
		if l.ID == ref.Lane {
			end.LaneEpoch = l.Epoch
		}
	}
	require.Equal(f, []error{nil}, f.append(f.lease, end))
	require.False(f, f.state().Live)
}

func (f *scheduleFixture) fenced() {
	nothing := func(context.Context, data.Tx, *saga.ScheduleState) error { return nil }
	require.NoError(f, f.take(nothing))
	lane := f.lane
	f.lane.Epoch--
	require.ErrorIs(f, f.take(nothing), saga.ErrFenced)
	f.lane = f.lanes[0]
	f.lane.ID = 1 << 40
	require.ErrorIs(f, f.take(nothing), saga.ErrFenced)
	f.lane = lane
	require.NoError(f, f.store.Release(f.Context(), f.lease, []int64{lane.ID}))
	require.ErrorIs(f, f.take(nothing), saga.ErrFenced)
	require.NoError(f, f.store.Leave(f.Context(), f.lease))
	require.ErrorIs(f, f.take(nothing), saga.ErrFenced)
}

// oneByOne lets several count: no count is lost.
func (f *scheduleFixture) oneByOne() {
	const takers, rounds = 4, 5
	var all sync.WaitGroup
	errs := make([]error, takers)
	for i := range takers {
		all.Go(func() {
			for range rounds {
				errs[i] = errors.Join(errs[i], f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error {
					s.Skipped++
					return nil
				}))
			}
		})
	}
	all.Wait()
	require.NoError(f, errors.Join(errs...))
	require.Equal(f, takers*rounds, f.state().Skipped)
}

func (f *scheduleFixture) paused() {
	ann, bob := saga.By{Actor: "ann", Reason: "broken"}, saga.By{Actor: "bob", Reason: "mended"}
	pause := func(on bool, by saga.By) saga.ScheduleState {
		require.NoError(f, f.schedules.PauseSchedule(f.Context(), scheduleName, on, by))
		return f.state()
	}
	s := pause(true, ann)
	require.True(f, s.Paused, "nothing was kept of it")
	require.Equal(f, ann, s.By)
	require.Equal(f, ann, pause(true, bob).By, "it was paused before")
	long := time.Now().Add(-time.Hour)
	require.NoError(f, f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error {
		require.True(f, s.Paused)
		s.Mark, s.Paused, s.By = long, false, saga.By{}
		return nil
	}))
	require.True(f, f.state().Paused, "only one verb resumes it")
	s = pause(false, bob)
	require.False(f, s.Paused)
	require.Zero(f, s.By)
	require.WithinDuration(f, time.Now(), s.Mark, time.Minute, "what came meanwhile is done with")
	require.NoError(f, f.take(func(_ context.Context, _ data.Tx, s *saga.ScheduleState) error { s.Mark = long; return nil }))
	require.WithinDuration(f, long, pause(false, bob).Mark, time.Millisecond, "it was not paused")
}
