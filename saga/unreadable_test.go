package saga_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// damage adds a record to sagas that no version of the definition can have written.
func damage(t *testing.T, s saga.Store, like string) {
	t.Helper()
	n, err := s.DB().Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body)
		select uid, 2, 1, 2, '{"t":1,"n":"ghost"}' from saga_key where id like $1`, like)
	require.NoError(t, err)
	require.Positive(t, n)
}

// fallDue makes the wait of a sleeping saga end now.
func fallDue(t *testing.T, e *saga.Engine, s saga.Store, id saga.ID) {
	t.Helper()
	history, err := e.History(t.Context(), id)
	require.NoError(t, err)
	armed := history[len(history)-1]
	require.Equal(t, saga.Armed, armed.Kind)
	armed.Due = armed.At
	body, err := saga.EncodeRecord(nil, armed)
	require.NoError(t, err)
	const journal = `update saga_journal set body = $3 where seq = $2 and uid in (select uid from saga_key where id = $1)`
	n, err := s.DB().Exec(t.Context(), journal, string(id), armed.Seq, string(body))
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	const timer = `update saga_timer set due = $2 where uid in (select uid from saga_key where id = $1)`
	n, err = s.DB().Exec(t.Context(), timer, string(id), armed.Due.UnixMicro())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// Sagas that cannot be worked for, however many, hide neither the mail nor the timers of others.
func TestUnreadableSagasHideNobody(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		const bad = 510 // more than is read at once
		s, ok := store(), saga.NewSignal[bool]("ok")
		waits := saga.Define("waits", 1, saga.Await(ok, func(*trip, bool) error { return nil }).Within(time.Hour))
		sleeps := saga.Define("sleeps", 1, saga.Sleep("nap", func(trip) time.Duration { return time.Hour }))
		quiet := saga.Config{Hooks: saga.Hooks{Failed: func(context.Context, error) {}}}
		e, leave := engine(t, quiet, s, waits, sleeps)
		sleeper, err := sleeps.Start(within(t), e, "sleeper", trip{})
		require.NoError(t, err)
		eventually(t, "sleeps", func() bool {
			page, err := e.Search(t.Context(), saga.Filter{State: saga.StateWaiting}, "", 0)
			return err == nil && len(page.Sagas) == 1
		})
		leave()
		require.NoError(t, s.DB().InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			for i := range bad {
				if _, err := waits.StartTx(ctx, e, tx, saga.ID(fmt.Sprint("bad", i)), trip{}); err != nil {
					return err
				}
			}
			return nil
		}))
		damage(t, s, "bad%") // each has its mail of the start
		_, err = s.DB().Exec(t.Context(), `insert into saga_timer (uid, lane, due) select uid, lane, 1 from saga_key where id like 'bad%'`)
		require.NoError(t, err)
		waiter, err := waits.Start(within(t), e, "waiter", trip{})
		require.NoError(t, err)
		require.NoError(t, ok.Send(within(t), e, "waiter", true))
		fallDue(t, e, s, "sleeper")
		all, err := e.List(t.Context(), 2*bad)
		require.NoError(t, err)
		require.Len(t, all, bad+2)
		engine(t, quiet, s, waits, sleeps)
		for _, run := range []*saga.Run[trip]{waiter, sleeper} {
			_, err = run.Result(within(t))
			require.NoError(t, err)
		}
	})
}

// A saga whose journal cannot be read is shown as such, tried again ever more rarely, and goes on when it can be read.
func TestUnreadableSaga(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		for what, body := range map[string]string{
			"a step that nobody has": `{"t":1,"n":"ghost"}`, "no JSON": `{`, "a result of another type": `{"t":1,"n":"a","p":7}`,
		} {
			t.Run(what, func(t *testing.T) {
				s, l := store(), &log{}
				kind := "trip-" + strings.ReplaceAll(what, " ", "-")
				def := saga.Define(kind, 1, stop(l, "a"))
				var mu sync.Mutex
				var failures []time.Time
				hooks := saga.Hooks{Failed: func(_ context.Context, err error) {
					if errors.Is(err, saga.ErrUnreadable) {
						mu.Lock()
						failures = append(failures, time.Now())
						mu.Unlock()
					}
				}}
				client, err := saga.New(saga.Config{}, s, def)
				require.NoError(t, err)
				bad, good := saga.ID("bad "+kind), saga.ID("good "+kind)
				run, err := def.Start(within(t), client, bad, trip{})
				require.NoError(t, err)
				fine, err := def.Start(within(t), client, good, trip{})
				require.NoError(t, err)
				_, err = s.DB().Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body)
					select uid, 2, 1, 2, $2 from saga_key where id = $1`, string(bad), body)
				require.NoError(t, err)
				e, _ := engine(t, saga.Config{Hooks: hooks}, s, def)
				_, err = fine.Result(within(t))
				require.NoError(t, err, "it changes no other")
				st, err := e.Status(within(t), bad)
				require.ErrorIs(t, err, saga.ErrUnreadable)
				require.Equal(t, saga.StateUnreadable, st.State)
				require.Contains(t, st.Reason, "run the program's version")
				all, err := e.List(within(t), 1000)
				require.NoError(t, err)
				require.True(t, slices.ContainsFunc(all, func(s saga.Status) bool {
					return s.ID == bad && s.State == saga.StateUnreadable && s.Version == 1
				}))
				eventually(t, "is tried again", func() bool { mu.Lock(); defer mu.Unlock(); return len(failures) == 2 })
				require.GreaterOrEqual(t, failures[1].Sub(failures[0]), time.Second)
				_, err = s.DB().Exec(t.Context(), `delete from saga_journal where seq = 2 and uid in (select uid from saga_key where id = $1)`, string(bad))
				require.NoError(t, err)
				_, err = run.Result(within(t))
				require.NoError(t, err)
			})
		}
	})
}

// A queued saga that cannot be read and is terminated gives its place back.
func TestUnreadableSagaLeavesItsQueue(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s, l := store(), &log{}
		line := saga.NewQueue("line", saga.QueueConfig{Concurrency: 1})
		wait := saga.Await(goAhead, func(t *trip, where string) error { return nil }).Within(time.Hour)
		def := saga.Define("trip", 1, wait, stop(l, "a"))
		cfg := saga.Config{Queues: []*saga.Queue{line}}
		e, leave := engine(t, cfg, s, def)
		_, err := def.Start(within(t), e, "bad", trip{}, saga.In(line).Key("k"))
		require.NoError(t, err)
		eventually(t, "is admitted", func() bool {
			st, err := e.Status(t.Context(), "bad")
			return err == nil && st.State == saga.StateRunning && st.Steps[0].Status == "waiting"
		})
		leave()
		_, err = s.DB().Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body)
			select uid, 100, 1, 2, '{"t":1,"n":"ghost"}' from saga_key where id = 'bad'`)
		require.NoError(t, err)
		e, _ = engine(t, cfg, s, def)
		i, err := e.Intervene(within(t), "bad", saga.Verb{Do: saga.VerbTerminate}, saga.By{Actor: "me", Reason: "damaged"})
		require.NoError(t, err)
		require.NoError(t, i.Wait(within(t)))
		_, err = def.Start(within(t), e, "next", trip{}, saga.In(line).Key("k"))
		require.NoError(t, err)
		require.NoError(t, goAhead.Send(within(t), e, "next", "on"))
		run, err := def.Find(within(t), e, "next")
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
	})
}
