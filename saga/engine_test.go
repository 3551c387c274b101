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
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// log is what the steps of a test did, in order.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// trip is the state of the sagas under test; it shares memory on purpose.
type trip struct {
	Name  string
	Stops []string
	Fail  string // the step that is rejected
}

func stop(l *log, name string) *saga.StepNode[trip, string] {
	return saga.Step(name, func(c saga.Ctx, t trip) (string, error) {
		if t.Fail == name {
			l.add("reject %s", name)
			return "", saga.Reject("no %s today", name)
		}
		l.add("do %s", name)
		return name, nil
	}).Undo(func(c saga.Ctx, t trip, r string) error {
		l.add("undo %s known=%t result=%q", name, c.ResultKnown(), r)
		return nil
	}).Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) })
}

var quick = saga.Retry{Max: 3, First: time.Millisecond, Cap: 5 * time.Millisecond}

func stores(t *testing.T, run func(t *testing.T, store func() saga.Store)) {
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			run(t, func() saga.Store {
				if name == string(data.SQLite) {
					s, err := sagasqlite.New(t.Context(), db)
					require.NoError(t, err)
					return s
				}
				s, err := sagapg.New(t.Context(), db)
				require.NoError(t, err)
				return s
			})
		})
	}
}

// engine runs an engine until the test or the returned func ends it.
func engine(t *testing.T, cfg saga.Config, store saga.Store, defs ...saga.Definition) (*saga.Engine, func()) {
	t.Helper()
	if cfg.Poll == 0 {
		cfg.Poll = 10 * time.Millisecond
	}
	if cfg.Hooks.Failed == nil {
		cfg.Hooks.Failed = func(_ context.Context, err error) {
			if !errors.Is(err, context.Canceled) {
				t.Logf("engine: %v", err)
			}
		}
	}
	if cfg.Hooks.Violated == nil {
		cfg.Hooks.Violated = violated(t)
	}
	e, err := saga.New(cfg, store, defs...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return e, stop
}

// violated fails the test when the engine finds that it broke a promise.
func violated(t *testing.T) func(context.Context, saga.SagaEvent) {
	return func(_ context.Context, e saga.SagaEvent) { t.Errorf("saga %s, step %s: %s", e.ID, e.Step, e.Reason) }
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestHappyPath(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"), saga.Parallel("both", stop(l, "b"), stop(l, "c")), stop(l, "d"))
		require.NoError(t, def.Err())
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{Name: "x"})
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c", "d"}, out.Stops)
		st, err := e.Status(within(t), "t1")
		require.NoError(t, err)
		require.Equal(t, saga.State(saga.Completed), st.State)
		require.Len(t, st.Steps, 4)
		history, err := e.History(within(t), "t1")
		require.NoError(t, err)
		require.Len(t, history, 5, "one record to start and one a step; the last one ends the saga")
	})
}

func TestCompensation(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"), stop(l, "b"), stop(l, "c"), stop(l, "d"))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{Fail: "d"})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var ce *saga.CompensatedError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, "d", ce.Step)
		require.Equal(t, "no d today", ce.Reason)
		require.Equal(t, []string{
			"do a", "do b", "do c", "reject d",
			`undo c known=true result="c"`, `undo b known=true result="b"`, `undo a known=true result="a"`,
		}, l.all())
	})
}

func TestUnknownOutcomeIsCompensated(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		keys := map[string]bool{}
		flaky := saga.Step("flaky", func(c saga.Ctx, _ trip) (saga.None, error) {
			keys[c.Key()] = true
			l.add("try %d", c.Attempt())
			return saga.None{}, errors.New("connection reset")
		}).Undo(func(c saga.Ctx, _ trip, _ saga.None) error {
			l.add("undo known=%t", c.ResultKnown())
			return nil
		}).Retry(quick)
		def := saga.Define("trip", 1, stop(l, "a"), flaky)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, "connection reset")
		require.Equal(t, []string{"do a", "try 1", "try 2", "try 3", "undo known=false", `undo a known=true result="a"`}, l.all())
		require.Len(t, keys, 1, "every attempt carries the same key")
	})
}

func TestParallelFailureSettlesSiblings(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		began := make(chan struct{})
		slow := saga.Step("slow", func(c saga.Ctx, _ trip) (saga.None, error) {
			close(began)
			<-c.Done()
			return saga.None{}, context.Cause(c)
		}).Undo(func(c saga.Ctx, _ trip, _ saga.None) error { l.add("undo slow known=%t", c.ResultKnown()); return nil })
		fails := saga.Step("fails", func(saga.Ctx, trip) (saga.None, error) {
			<-began
			return saga.None{}, saga.Reject("no")
		}).Undo(func(saga.Ctx, trip, saga.None) error { l.add("undo fails"); return nil })
		def := saga.Define("trip", 1, stop(l, "a"), saga.Parallel("group", slow, fails))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var ce *saga.CompensatedError
		require.ErrorAs(t, err, &ce)
		require.Equal(t, "fails", ce.Step)
		require.Equal(t, []string{"do a", "undo slow known=false", `undo a known=true result="a"`}, l.all())
	})
}

func TestTxStepCommitsWithItsRecord(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s := store()
		_, err := s.DB().Exec(t.Context(), `create table effects (what text primary key)`)
		require.NoError(t, err)
		insert := saga.TxStep("insert", func(c saga.Ctx, tx data.Tx, _ trip) (int64, error) {
			return tx.Exec(c, `insert into effects (what) values ($1)`, c.Key())
		}).Undo(func(c saga.Ctx, tx data.Tx, _ trip, n int64) error {
			_, err := tx.Exec(c, `delete from effects`)
			return err
		})
		fail := saga.TxStep("fail", func(c saga.Ctx, tx data.Tx, t trip) (saga.None, error) {
			if _, err := tx.Exec(c, `insert into effects (what) values ('lost')`); err != nil {
				return saga.None{}, err
			}
			if t.Fail != "" {
				return saga.None{}, saga.Reject("refused")
			}
			return saga.None{}, nil
		})
		def := saga.Define("trip", 1, insert, fail)
		e, _ := engine(t, saga.Config{}, s, def)
		count := func() (n int) {
			require.NoError(t, s.DB().QueryRow(t.Context(), `select count(*) from effects`).Scan(&n))
			return n
		}
		run, err := def.Start(within(t), e, "bad", trip{Fail: "yes"})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, "refused")
		require.Zero(t, count())
		run, err = def.Start(within(t), e, "good", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, 2, count())
	})
}

func TestAwaitSleepAndWhen(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		approval := saga.NewSignal[bool]("approval")
		approve := func(d time.Duration) *saga.AwaitNode[trip] {
			return saga.Await(approval, func(t *trip, ok bool) error {
				if !ok {
					return saga.Reject("declined")
				}
				t.Stops = append(t.Stops, "approved")
				return nil
			}).Within(d)
		}
		def := saga.Define("trip", 1, stop(l, "a"),
			saga.When("named", func(t trip) bool { return t.Name != "" }, approve(10*time.Second)).Otherwise(stop(l, "skip")),
			saga.Sleep("nap", func(trip) time.Duration { return 20 * time.Millisecond }), stop(l, "z"))
		late := saga.Define("late", 1, stop(l, "a"), approve(20*time.Millisecond))
		rescued := saga.Define("rescued", 1, approve(20*time.Millisecond).OnDeadline(stop(l, "rescue")), stop(l, "z"))
		e, _ := engine(t, saga.Config{}, store(), def, late, rescued)

		run, err := def.Start(within(t), e, "yes", trip{Name: "x"})
		require.NoError(t, err)
		require.NoError(t, approval.Send(within(t), e, "yes", true, saga.DedupeKey("k")))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "approved", "z"}, out.Stops)
		require.ErrorIs(t, approval.Send(within(t), e, "yes", true), saga.ErrFinished)
		require.ErrorIs(t, approval.Send(within(t), e, "nobody", true), saga.ErrNotFound)

		run, err = def.Start(within(t), e, "no", trip{Name: "x"})
		require.NoError(t, err)
		require.NoError(t, approval.Send(within(t), e, "no", false))
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, "declined")

		run, err = def.Start(within(t), e, "else", trip{})
		require.NoError(t, err)
		out, err = run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "skip", "z"}, out.Stops)

		run, err = late.Start(within(t), e, "late", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, `no "approval" within 20ms`)

		run, err = rescued.Start(within(t), e, "rescued", trip{})
		require.NoError(t, err)
		out, err = run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"rescue", "z"}, out.Stops)
	})
}

func TestStartIsIdempotent(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"))
		e, _ := engine(t, saga.Config{}, store(), def)
		first, err := def.Start(within(t), e, "t1", trip{Name: "x"})
		require.NoError(t, err)
		require.False(t, first.Existed)
		again, err := def.Start(within(t), e, "t1", trip{Name: "x"})
		require.NoError(t, err)
		require.True(t, again.Existed)
		_, err = def.Start(within(t), e, "t1", trip{Name: "y"})
		require.ErrorIs(t, err, saga.ErrConflict)
		_, err = again.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"do a"}, l.all())
		_, err = def.Find(within(t), e, "nobody")
		require.ErrorIs(t, err, saga.ErrNotFound)
	})
}

func TestConcurrentStartsOfOneID(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		def := saga.Define("trip", 1, stop(l, "a"))
		e, _ := engine(t, saga.Config{}, store(), def)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				run, err := def.Start(within(t), e, "same", trip{Name: "x"})
				if err == nil {
					_, err = run.Result(within(t))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, []string{"do a"}, l.all())
	})
}

func TestParkAndRetry(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		var mended sync.Map
		hand := saga.Retriable("hand-over", func(c saga.Ctx, _ trip) (saga.None, error) {
			if _, ok := mended.Load("yes"); !ok {
				return saga.None{}, errors.New("broken")
			}
			return saga.None{}, nil
		}).Retry(quick)
		def := saga.Define("trip", 1, stop(l, "a"), saga.Pivot("pay", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }), hand)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		_, err = run.Result(within(t))
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Equal(t, "hand-over", parked.Step)
		require.ErrorIs(t, e.Cancel(within(t), "t1", "ann", "no"), saga.ErrPastPivot)
		mended.Store("yes", true)
		require.NoError(t, e.Retry(within(t), "t1", "ann", "mended"))
		require.Eventually(t, func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.State(saga.Completed)
		}, 10*time.Second, 5*time.Millisecond)
	})
}

func TestCancelCompensates(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		never := saga.NewSignal[bool]("never")
		def := saga.Define("trip", 1, stop(l, "a"), saga.Await(never, func(*trip, bool) error { return nil }).Within(time.Hour), stop(l, "b"))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		require.NoError(t, e.Cancel(within(t), "t1", "ann", "changed her mind"))
		_, err = run.Result(within(t))
		require.ErrorContains(t, err, "cancelled by ann: changed her mind")
		require.NotContains(t, strings.Join(l.all(), " "), "do b")
	})
}

func TestAnotherNodeTakesOver(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		wait := saga.NewSignal[bool]("go")
		def := saga.Define("trip", 1, stop(l, "a"), saga.Await(wait, func(*trip, bool) error { return nil }).Within(time.Hour), stop(l, "b"))
		e1, stop1 := engine(t, saga.Config{Node: "one"}, store(), def)
		_, err := def.Start(within(t), e1, "t1", trip{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			st, err := e1.Status(t.Context(), "t1")
			return err == nil && st.Steps[1].Status == "waiting"
		}, 10*time.Second, 5*time.Millisecond)
		stop1()
		e2, _ := engine(t, saga.Config{Node: "two"}, store(), def)
		require.NoError(t, wait.Send(within(t), e2, "t1", true))
		run, err := def.Find(within(t), e2, "t1")
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, out.Stops)
		require.Equal(t, []string{"do a", "do b"}, l.all())
	})
}

func TestDefinitionReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	l := &log{}
	pay := saga.Pivot("pay", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil })
	def := saga.Define("", 0, stop(l, "a"), stop(l, "a"), saga.Parallel[trip]("empty"), pay, stop(l, "late"),
		saga.Pivot("second", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }))
	for _, want := range []string{
		"no name", "version 0", `"a" has a name that another node has too`, `"empty" is an empty group`,
		`"late" is compensatable and stands behind the pivot "pay"`, `"second" is a second pivot behind "pay"`,
	} {
		require.ErrorContains(t, def.Err(), want)
	}
	_, err := saga.New(saga.Config{TTL: time.Millisecond}, nil, def)
	require.ErrorContains(t, err, "TTL")
	require.ErrorContains(t, err, "the store is nil")
	require.ErrorContains(t, err, `"empty" is an empty group`)
}
