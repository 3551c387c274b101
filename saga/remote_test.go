package saga_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// remoteStep sends its commands into a table, as an outbox does.
func remoteStep(name string, timeout time.Duration) *saga.RemoteNode[trip, string] {
	send := func(c saga.Ctx, tx data.Tx) error {
		_, err := tx.Exec(c, `insert into sent (k) values ($1)`, c.Key())
		return err
	}
	return saga.Remote(name, saga.RemoteSpec[trip, string]{
		Send:     func(c saga.Ctx, tx data.Tx, _ trip) error { return send(c, tx) },
		SendUndo: func(c saga.Ctx, tx data.Tx, _ trip, _ string) error { return send(c, tx) },
	}).Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) }).Timeout(timeout).Retry(quick)
}

func sent(t *testing.T, store saga.Store) []string {
	t.Helper()
	rows, err := store.DB().Query(t.Context(), `select k from sent order by n`)
	require.NoError(t, err)
	var keys []string
	for rows.Next() {
		var k string
		require.NoError(t, rows.Scan(&k))
		keys = append(keys, k)
	}
	require.NoError(t, rows.Err())
	return keys
}

func waitSent(t *testing.T, store saga.Store, n int) []string {
	t.Helper()
	var keys []string
	require.Eventually(t, func() bool {
		keys = sent(t, store)
		return len(keys) >= n
	}, 10*time.Second, 5*time.Millisecond)
	return keys
}

func openSent(t *testing.T, store saga.Store) {
	t.Helper()
	id := `integer primary key autoincrement`
	if store.DB().Dialect() == data.Postgres {
		id = `bigint generated always as identity`
	}
	_, err := store.DB().Exec(t.Context(), `create table sent (n `+id+`, k text not null)`)
	require.NoError(t, err)
}

func TestRemoteStep(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"), remoteStep("far", time.Minute), remoteStep("away", time.Minute))
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		far := waitSent(t, s, 1)[0]
		require.Contains(t, far, "/far/do")
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: far, Result: json.RawMessage(`"there"`)}))
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: far, Result: json.RawMessage(`"there"`)}), "replies may come twice")
		away := waitSent(t, s, 2)[1]
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: away, Rejected: true, Reason: "full"}))
		undo := waitSent(t, s, 3)[2]
		require.Contains(t, undo, "/far/undo", "a rejected step has nothing to take back")
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: undo}))
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, `step "away": full`)
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: undo}), "a late reply to an ended saga is no error")
		require.ErrorContains(t, e.Reply(within(t), nil, saga.Reply{Key: "nonsense"}), "no key of a saga's step")
		require.Equal(t, []string{"do a", `undo a known=true result="a"`}, l.all())
	})
}

func TestRemoteStepWithoutReply(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		def := saga.Define("trip", 1, remoteStep("far", 30*time.Millisecond))
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		keys := waitSent(t, s, 4)
		require.Equal(t, []string{keys[0], keys[0], keys[0]}, keys[:3], "the same command again, under the same key, within the budget")
		require.Contains(t, keys[3], "/far/undo", "then its outcome is unknown and it is taken back")
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: keys[3]}))
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, "no reply within 30ms")
	})
}

func TestPartialRetryTakesDefaults(t *testing.T) {
	t.Parallel()
	def := saga.Define("trip", 1, remoteStep("far", time.Second).Retry(saga.Retry{Max: 2, First: time.Second}))
	require.NoError(t, def.Err())
}

func TestReplyThatDoesNotDecodeParks(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		def := saga.Define("trip", 1, remoteStep("far", time.Minute))
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		key := waitSent(t, s, 1)[0]
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: key, Result: json.RawMessage(`{"no":"string"}`)}))
		_, err = run.Result(within(t))
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Contains(t, parked.Reason, "does not decode")
		require.NoError(t, e.Terminate(within(t), "t1", "ann", "mended by hand"))
		require.Eventually(t, func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.State(saga.TerminatedByHand)
		}, 10*time.Second, 5*time.Millisecond)
		require.ErrorIs(t, e.Terminate(within(t), "t1", "ann", "again"), saga.ErrFinished)
	})
}

// A reply that was given up on, and after which the saga parked, lets it go on when it comes after all.
func TestLateReplyFreesAParkedSaga(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		def := saga.Define("trip", 1, remoteStep("far", 30*time.Millisecond).UndoRetry(quick), stop(&log{}, "z"))
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{Fail: "z"})
		require.NoError(t, err)
		key := waitSent(t, s, 1)[0]
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: key, Result: json.RawMessage(`"there"`)}))
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.ParkedError))
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: strings.TrimSuffix(key, "/do") + "/undo"}))
		require.Eventually(t, func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.State(saga.Compensated)
		}, 10*time.Second, 5*time.Millisecond)
	})
}

func TestRemoteCompensationWithoutReplyParks(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		openSent(t, s)
		l := &log{}
		def := saga.Define("trip", 1, remoteStep("far", 30*time.Millisecond).UndoRetry(quick), stop(l, "z"))
		e, _ := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{Fail: "z"})
		require.NoError(t, err)
		key := waitSent(t, s, 1)[0]
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: key, Result: json.RawMessage(`"there"`)}))
		_, err = run.Result(within(t))
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Equal(t, "far", parked.Step)
		undos := func() int {
			return len(slices.DeleteFunc(sent(t, s), func(k string) bool { return !strings.HasSuffix(k, "/undo") }))
		}
		require.Equal(t, 3, undos(), "the compensation is sent within its budget")
		require.NoError(t, e.Retry(within(t), "t1", "ann", "the participant is back"))
		require.Eventually(t, func() bool { return undos() > 3 }, 10*time.Second, 5*time.Millisecond)
		undo := strings.TrimSuffix(key, "/do") + "/undo"
		require.NoError(t, e.Reply(within(t), nil, saga.Reply{Key: undo}))
		require.Eventually(t, func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.State(saga.Compensated)
		}, 10*time.Second, 5*time.Millisecond)
	})
}
