package saga_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// reports notes what a schedule's sagas did, over all engines of a test.
type reports struct {
	mu      sync.Mutex
	days    []string
	skipped []saga.ScheduleEvent
	failed  []error
	hold    chan struct{} // if not nil, steps wait for it
}

func (r *reports) def(version int) *saga.Def[string] {
	return saga.Define("report", version, saga.Step("make", func(c saga.Ctx, day string) (saga.None, error) {
		if r.hold != nil {
			select {
			case <-r.hold:
			case <-c.Done():
				return saga.None{}, context.Cause(c)
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.days = append(r.days, day)
		return saga.None{}, nil
	}).Timeout(1000*time.Hour))
}

func (r *reports) cfg(schedules ...*saga.Schedule) saga.Config {
	return saga.Config{TTL: time.Minute, Poll: time.Minute, Schedules: schedules, Hooks: saga.Hooks{
		Skipped: func(_ context.Context, e saga.ScheduleEvent) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.skipped = append(r.skipped, e)
		},
		Failed: func(_ context.Context, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.failed = append(r.failed, err)
		},
	}}
}

// made takes the days that have been reported, in order.
func (r *reports) made() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	days := slices.Sorted(slices.Values(r.days))
	r.days = nil
	return days
}

func (r *reports) skips() []saga.ScheduleEvent {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.skipped
	r.skipped = nil
	return s
}

const stamp = "01-02 15:04"

func day(at time.Time) string { return at.Format(stamp) }

// runFor runs an engine for a time.
func runFor(t *testing.T, store saga.Store, cfg saga.Config, def saga.Definition, d time.Duration) *saga.Engine {
	t.Helper()
	e, err := saga.New(cfg, store, def)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.NoError(t, e.Run(ctx))
	return e
}

// A bubble's time begins at midnight, 1 January 2000, UTC.
func TestScheduleCatchesUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy  saga.CatchUp
		made    []string
		skipped []saga.ScheduleEvent
	}{
		{saga.CatchUpLatest, []string{"01-04 03:00"}, []saga.ScheduleEvent{{Schedule: "nightly", Times: 2}}},
		{saga.CatchUpAll, []string{"01-02 03:00", "01-03 03:00", "01-04 03:00"}, nil},
		{saga.CatchUpNone, nil, []saga.ScheduleEvent{{Schedule: "nightly", Times: 3}}},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &reports{}
				store, def := sagatest.NewStore(nil), r.def(1)
				nightly := saga.NewSchedule("nightly", "0 3 * * *", def, day).CatchUp(c.policy)
				runFor(t, store, r.cfg(nightly), def, 4*time.Hour)
				require.Equal(t, []string{"01-01 03:00"}, r.made())
				require.Empty(t, r.skips())

				time.Sleep(3 * 24 * time.Hour) // nobody runs
				e := runFor(t, store, r.cfg(nightly), def, time.Minute)
				require.Equal(t, c.made, r.made())
				skips := r.skips()
				require.Len(t, skips, len(c.skipped))
				for i, s := range c.skipped {
					require.Equal(t, s.Times, skips[i].Times)
					require.Equal(t, s.Schedule, skips[i].Schedule)
				}

				runFor(t, store, r.cfg(nightly), def, 24*time.Hour) // and then as ever
				require.Equal(t, []string{"01-05 03:00"}, r.made())
				require.Empty(t, r.failed)
				list, err := e.Schedules(t.Context())
				require.NoError(t, err)
				require.Len(t, list, 1)
				require.Equal(t, saga.ID("nightly/2000-01-05T03:00:00Z"), list[0].LastSaga)
				require.Equal(t, "01-06 03:00", day(list[0].Next))
				require.False(t, list[0].Running)
				if c.skipped != nil {
					require.Equal(t, c.skipped[0].Times, list[0].Skipped)
				}
			})
		})
	}
}

func TestScheduleCatchesUpWithABoundedNumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{}
		store, def := sagatest.NewStore(nil), r.def(1)
		often := saga.NewSchedule("often", "* * * * *", def, day).CatchUp(saga.CatchUpAll)
		runFor(t, store, r.cfg(often), def, 30*time.Second)
		time.Sleep(24*time.Hour - 30*time.Second) // 1,440 times
		runFor(t, store, r.cfg(often), def, 30*time.Second)
		made := r.made()
		require.Len(t, made, 1000)
		require.Equal(t, []string{"01-01 07:21", "01-02 00:00"}, []string{made[0], made[999]})
		require.Equal(t, 440, r.skips()[0].Times)
		require.Len(t, r.failed, 1)
		require.ErrorContains(t, r.failed[0], "440 times up to 2000-01-01T07:20:00Z")
	})
}

func TestScheduleIsPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{}
		store, def := sagatest.NewStore(nil), r.def(1)
		hourly := saga.NewSchedule("hourly", "@hourly", def, day).CatchUp(saga.CatchUpAll)
		client, err := saga.New(r.cfg(hourly), store, def)
		require.NoError(t, err)
		by := saga.By{Actor: "ann", Reason: "the report is broken"}
		status := func() saga.ScheduleStatus {
			list, err := client.Schedules(t.Context())
			require.NoError(t, err)
			return list[0]
		}
		require.Equal(t, time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC), status().Next, "of what was never run, too")

		require.NoError(t, client.PauseSchedule(t.Context(), "hourly", by)) // before anybody ran it
		runFor(t, store, r.cfg(hourly), def, 150*time.Minute)
		require.Empty(t, r.made())
		require.True(t, status().Paused)
		require.Zero(t, status().Next)
		require.NoError(t, client.PauseSchedule(t.Context(), "hourly", saga.By{Actor: "bob", Reason: "again"}))
		require.Equal(t, by, status().By, "the first one paused it")

		require.NoError(t, client.ResumeSchedule(t.Context(), "hourly", by))
		runFor(t, store, r.cfg(hourly), def, time.Hour)
		require.Equal(t, []string{"01-01 03:00"}, r.made(), "what came meanwhile is not made up")

		time.Sleep(time.Hour)
		require.NoError(t, client.ResumeSchedule(t.Context(), "hourly", by)) // it is not paused: what was missed stays due
		runFor(t, store, r.cfg(hourly), def, time.Minute)
		require.Equal(t, []string{"01-01 04:00"}, r.made())
		require.False(t, status().Paused)
		require.Zero(t, status().By)

		require.ErrorIs(t, client.PauseSchedule(t.Context(), "other", by), saga.ErrNotRegistered)
		require.ErrorContains(t, client.PauseSchedule(t.Context(), "hourly", saga.By{}), "must be said")
	})
}

func TestScheduleDoesNotOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{hold: make(chan struct{})}
		store, def := sagatest.NewStore(nil), r.def(1)
		hourly := saga.NewSchedule("hourly", "@hourly", def, day).NoOverlap()
		e, err := saga.New(r.cfg(hourly), store, def)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()

		time.Sleep(3*time.Hour + time.Minute)
		list, err := e.Schedules(t.Context())
		require.NoError(t, err)
		require.True(t, list[0].Running)
		require.True(t, list[0].Owned)
		require.Equal(t, 2, list[0].Skipped)
		skips := r.skips()
		require.Len(t, skips, 2)
		require.Equal(t, "03:00", skips[1].At.Format("15:04"))
		require.Equal(t, "hourly/2000-01-01T01:00:00Z has not ended", skips[1].Reason)
		require.Empty(t, r.made())

		close(r.hold)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"01-01 01:00", "01-01 04:00"}, r.made())
		cancel()
		require.NoError(t, <-ended)
	})
}

// A new expression holds from its deployment on: nothing is made up for it, and nothing is started twice.
func TestScheduleChangesItsExpression(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{}
		store, def := sagatest.NewStore(nil), r.def(1)
		berlin, err := time.LoadLocation("Europe/Berlin")
		require.NoError(t, err)
		old := saga.NewSchedule("nightly", "0 3 * * *", def, day).CatchUp(saga.CatchUpAll)
		runFor(t, store, r.cfg(old), def, 26*time.Hour) // to 02:00
		require.Equal(t, []string{"01-01 03:00"}, r.made())
		next := saga.NewSchedule("nightly", "0 4-6 * * *", def, day).CatchUp(saga.CatchUpAll).In(berlin)
		e := runFor(t, store, r.cfg(next), def, 150*time.Minute) // to 05:30 in Berlin
		require.Equal(t, []string{"01-02 04:00", "01-02 05:00"}, r.made())
		list, err := e.Schedules(t.Context())
		require.NoError(t, err)
		require.Equal(t, "0 4-6 * * * Europe/Berlin", list[0].Expression)
		require.Equal(t, saga.ID("nightly/2000-01-02T04:00:00Z"), list[0].LastSaga)

		time.Sleep(48 * time.Hour)
		runFor(t, store, r.cfg(old), def, time.Hour) // back again
		require.Empty(t, r.made())
		require.Empty(t, r.skips())
	})
}

// An id that somebody used is a time that is done with.
func TestScheduleMeetsATakenID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{}
		store, def := sagatest.NewStore(nil), r.def(1)
		hourly := saga.NewSchedule("hourly", "@hourly", def, day)
		client, err := saga.New(r.cfg(hourly), store, def)
		require.NoError(t, err)
		_, err = def.Start(t.Context(), client, hourly.ID(time.Now().Add(time.Hour)), "by hand")
		require.NoError(t, err)
		runFor(t, store, r.cfg(hourly), def, 150*time.Minute)
		require.Equal(t, []string{"01-01 02:00", "by hand"}, r.made())
		require.Empty(t, r.failed)
	})
}

// An input that panics is told and tried again; nothing is lost by it.
func TestScheduleSurvivesItsInput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &reports{}
		store, def := sagatest.NewStore(nil), r.def(1)
		good := false
		hourly := saga.NewSchedule("hourly", "@hourly", def, func(at time.Time) string {
			if !good {
				panic("no input")
			}
			return day(at)
		})
		runFor(t, store, r.cfg(hourly), def, time.Hour+time.Minute)
		require.Empty(t, r.made())
		require.NotEmpty(t, r.failed)
		require.ErrorContains(t, r.failed[0], `schedule "hourly": the input of 2000-01-01T01:00:00Z panicked: no input`)
		good = true
		runFor(t, store, r.cfg(hourly), def, time.Minute)
		require.Equal(t, []string{"01-01 01:00"}, r.made())
	})
}

// With the owner gone without a word another node goes on, and nothing is lost or doubled.
func TestSchedulesOfManyNodes(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (data.DB, func() saga.Store){
		"PostgreSQL": func(t *testing.T) (data.DB, func() saga.Store) {
			dsn := datatest.PostgresDSN(t)
			db, _ := process(t, dsn)
			return db, func() saga.Store { _, s := process(t, dsn); return s }
		},
		"SQLite": func(t *testing.T) (data.DB, func() saga.Store) {
			db := datatest.SQLite(t)
			store, err := sagasqlite.New(t.Context(), db)
			require.NoError(t, err)
			return db, func() saga.Store { return store }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, newStore := open(t)
			r := &reports{}
			def := r.def(1)
			nightly := saga.NewSchedule("nightly", "0 3 * * *", def, day).CatchUp(saga.CatchUpAll)
			first := nightly.Next(time.Now().Add(-30 * 24 * time.Hour))
			cfg := r.cfg(nightly)
			cfg.TTL, cfg.Poll = 2*time.Second, 0
			for range 2 {
				engine(t, cfg, newStore(), def)
			}
			require.Eventually(t, func() bool {
				var n int
				err := db.QueryRow(t.Context(), `select count(*) from saga_schedule where expression <> ''`).Scan(&n)
				return err == nil && n == 1
			}, 20*time.Second, 10*time.Millisecond)

			// As if nobody had run for a month. The owner, who is fenced, has no reason to look; a new one has.
			require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
				_, err := tx.Exec(ctx, `update saga_schedule set mark = $1`, first.Add(-time.Second).UnixMicro())
				require.NoError(t, err)
				var owner string
				require.NoError(t, tx.QueryRow(ctx, `select node from saga_lane where kind = 'schedule/nightly'`).Scan(&owner))
				for _, sql := range []string{
					`delete from saga_node where node = $1`, `delete from saga_beat where node = $1`,
					`update saga_lane set node = null where node = $1`,
				} {
					_, err := tx.Exec(ctx, sql, owner)
					require.NoError(t, err)
				}
				return nil
			}))
			var want []string
			for at := first; !at.After(time.Now()); at = nightly.Next(at) {
				want = append(want, day(at))
			}
			var made []string
			require.Eventually(t, func() bool {
				made = append(made, r.made()...)
				return len(made) >= len(want)
			}, 30*time.Second, 10*time.Millisecond)
			slices.Sort(made)
			require.ElementsMatch(t, want, slices.Compact(made), "a step may run twice, no saga is missing")
			var sagas int
			require.NoError(t, db.QueryRow(t.Context(), `select count(*) from saga_key`).Scan(&sagas))
			require.Equal(t, len(want), sagas)
		})
	}
}

func TestNewReportsBadSchedules(t *testing.T) {
	t.Parallel()
	store, err := sagasqlite.New(t.Context(), datatest.SQLite(t))
	require.NoError(t, err)
	r := &reports{}
	def, queue := r.def(1), saga.NewQueue("q", saga.QueueConfig{})
	_, err = saga.New(saga.Config{Schedules: []*saga.Schedule{
		saga.NewSchedule("a", "TZ=0", def, day),
		saga.NewSchedule("b@c", "61 3 * * *", def, day),
		saga.NewSchedule("d", "@daily", r.def(2), day),
		saga.NewSchedule[string]("e", "@daily", nil, nil),
		saga.NewSchedule("f", "@daily", def, day).In(nil).CatchUp(7),
		saga.NewSchedule("g", "@daily", def, day).CatchUp(saga.CatchUpAll).NoOverlap(),
		saga.NewSchedule("h", "@daily", def, day).Options(saga.In(queue)),
		saga.NewSchedule("i", "@daily", def, day), saga.NewSchedule("i", "@daily", def, day),
		nil,
	}}, store, def)
	for _, says := range []string{
		`schedule "a": cron: "TZ=0" is neither five fields`, `the name must not contain "@"`, `minute: "61" is not between 0 and 59`,
		`schedule "d": saga: the definition is not registered`, `schedule "e": the definition or the input is nil`,
		`the location is nil`, `CatchUp(7) is no policy`, `use a queue with a key`, `queue "q": put it into Config.Queues`,
		`schedule "i" is declared twice`, "a schedule is nil",
	} {
		require.ErrorContains(t, err, says)
	}
	_, err = saga.New(saga.Config{Schedules: []*saga.Schedule{saga.NewSchedule("a", "@daily", def, day)}}, struct{ saga.Store }{store}, def)
	require.ErrorContains(t, err, "has no schedules")
}
