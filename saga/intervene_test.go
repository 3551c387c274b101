package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

var ann = saga.By{Actor: "ann", Reason: "ticket 17"}

// intervene asks and waits for the answer.
func intervene(t *testing.T, e *saga.Engine, id saga.ID, v saga.Verb) error {
	t.Helper()
	i, err := e.Intervene(within(t), id, v, ann)
	if err != nil {
		return err
	}
	return i.Wait(within(t))
}

// audit lists what operators did, as the journal has it.
func audit(t *testing.T, e *saga.Engine, id saga.ID) (out []string) {
	t.Helper()
	h, err := e.History(within(t), id)
	require.NoError(t, err)
	for _, r := range h {
		if r.Actor != "" {
			require.Equal(t, "ann", r.Actor)
			if r.Kind == saga.Refused {
				require.Equal(t, ann.Reason, r.Meta["wanted"])
			} else {
				require.Equal(t, ann.Reason, r.Reason)
			}
			out = append(out, fmt.Sprintf("%s %s", r.Kind, r.Node))
		}
	}
	return out
}

func parks(t *testing.T, e *saga.Engine, id saga.ID) {
	t.Helper()
	eventually(t, "parks", func() bool { return state(t, e, id) == saga.StateParked })
}

// SAFE-24: a step that will not succeed is skipped, resolved or rejected, each with one record of who and why.
func TestVerbsForAParkedStep(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		broken := saga.Pivot("pay", func(saga.Ctx, trip) (string, error) { return "", errors.New("no bank") }).
			Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) }).Retry(saga.Retry{Max: 1})
		def := saga.Define("trip", 1, stop(l, "a"), broken, saga.Retriable("z", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }))
		e, _ := engine(t, saga.Config{}, store(), def)
		for _, c := range []struct {
			verb    saga.Verb
			stops   []string
			outcome saga.State
			audit   string
		}{
			{saga.Verb{Do: saga.VerbSkip, Step: "pay"}, []string{"a"}, "completed", "skipped pay"},
			{saga.Verb{Do: saga.VerbResolve, Step: "pay", Result: json.RawMessage(`"paid"`)}, []string{"a", "paid"}, "completed", "resolved pay"},
			{saga.Verb{Do: saga.VerbReject, Step: "pay"}, []string{"a"}, "compensated", "rejected pay"},
		} {
			id := saga.ID(c.verb.Do)
			run, err := def.Start(within(t), e, id, trip{})
			require.NoError(t, err)
			parks(t, e, id)
			require.ErrorIs(t, intervene(t, e, id, saga.Verb{Do: saga.VerbSkip, Step: "b"}), saga.ErrUnknownStep)
			require.ErrorIs(t, intervene(t, e, id, saga.Verb{Do: saga.VerbSkip, Step: "a"}), saga.ErrNotApplicable)
			require.ErrorIs(t, intervene(t, e, id, saga.Verb{Do: saga.VerbResolve, Step: "z"}), saga.ErrNotApplicable)
			require.ErrorContains(t, intervene(t, e, id, saga.Verb{Do: saga.VerbResolve, Step: "pay", Result: json.RawMessage(`7`)}), "does not decode")
			require.ErrorContains(t, intervene(t, e, id, saga.Verb{Do: saga.VerbResolve, Step: "pay"}), "is missing")
			require.ErrorContains(t, intervene(t, e, id, saga.Verb{Do: saga.VerbSkip, Step: "a", Undo: true}), "not being taken back")
			require.NoError(t, intervene(t, e, id, c.verb))
			out, err := run.Result(within(t))
			if c.outcome == "completed" {
				require.NoError(t, err)
			}
			require.Equal(t, c.stops, out.Stops)
			require.Equal(t, c.outcome, state(t, e, id))
			require.Equal(t, []string{c.audit}, audit(t, e, id))
			require.ErrorIs(t, intervene(t, e, id, saga.Verb{Do: saga.VerbPause}), saga.ErrFinished)
		}
		require.Equal(t, []string{"do a", "do a", "do a", `undo a known=true result="a"`}, l.all())
	})
}

// A skipped step is not taken back, a resolved one is, with the result it was given.
func TestSkippedAndResolvedStepsInACompensation(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l, calls := &log{}, atomic.Int32{}
		stuck := func(name string) *saga.StepNode[trip, string] {
			return saga.Step(name, func(c saga.Ctx, _ trip) (string, error) {
				calls.Add(1)
				<-c.Done()
				return "", c.Err()
			}).Undo(func(c saga.Ctx, _ trip, r string) error { l.add("undo %s %q", name, r); return nil }).
				Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) })
		}
		def := saga.Define("trip", 1, saga.Parallel("both", stuck("x"), stuck("y")), step("no", func(saga.Ctx) error { return saga.Reject("no") }))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		eventually(t, "both run", func() bool { return calls.Load() == 2 })
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "x"}), "an attempt under way is interrupted")
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "x"}), saga.ErrNotApplicable)
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbResolve, Step: "y", Result: json.RawMessage(`"by hand"`)}))
		out, err := run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.Equal(t, []string{"by hand"}, out.Stops)
		require.Equal(t, []string{`undo y "by hand"`}, l.all())
		require.Equal(t, []string{"skipped x", "resolved y"}, audit(t, e, "t1"))
	})
}

// A compensation that parks goes on when its undo is skipped, or was done by hand.
func TestVerbsForAnUndo(t *testing.T) {
	t.Parallel()
	for _, v := range []saga.VerbName{saga.VerbSkip, saga.VerbResolve} {
		l := &log{}
		bad := saga.Step("bad", func(saga.Ctx, trip) (string, error) { return "r", nil }).UndoRetry(saga.Retry{Max: 1}).
			Undo(func(saga.Ctx, trip, string) error { return errors.New("no") })
		def := saga.Define("trip", 1, stop(l, "a"), bad, step("no", func(saga.Ctx) error { return saga.Reject("no") }))
		e, _ := engine(t, saga.Config{}, sqliteStore(t), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		parks(t, e, "t1")
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: v, Step: "bad"}), saga.ErrNotApplicable, "it is done")
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: v, Step: "bad", Undo: true}))
		_, err = run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.Contains(t, l.all(), `undo a known=true result="a"`)
		require.Len(t, audit(t, e, "t1"), 1)
	}
}

// A paused saga begins nothing, keeps what attempts under way bring, and a signal in time beats the deadline that passed.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l, gate, here, ok := &log{}, make(chan struct{}), make(chan struct{}), saga.NewSignal[string]("ok")
		def := saga.Define("trip", 1, step("held", func(c saga.Ctx) error { close(here); return held(c, gate) }), stop(l, "a"),
			saga.Await(ok, func(t *trip, s string) error { t.Stops = append(t.Stops, s); return nil }).Within(500*time.Millisecond))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		<-here
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbPause}))
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbPause}), saga.ErrNotApplicable)
		close(gate)
		eventually(t, "what was under way counts", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.Steps[0].Status == "done"
		})
		require.Equal(t, saga.StatePaused, state(t, e, "t1"))
		require.Empty(t, l.all())
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbResume}))
		eventually(t, "waits", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.Steps[2].Status == "waiting"
		})
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbPause}))
		d, err := e.Show(within(t), "t1")
		require.NoError(t, err)
		require.Equal(t, "deadline", d.Timers[0].Kind)
		require.NoError(t, ok.Send(within(t), e, "t1", "in time"))
		eventually(t, "the deadline passes", func() bool { return time.Now().After(d.Timers[0].Due.Add(50 * time.Millisecond)) })
		require.Equal(t, saga.StatePaused, state(t, e, "t1"))
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbResume}))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "in time"}, out.Stops)
		require.Equal(t, []string{"paused ", "continued ", "paused ", "continued "}, audit(t, e, "t1"))
	})
}

// Whatever stops the engine meanwhile, a signal sent in time wins over its deadline.
func TestSignalInTimeWinsAfterARestart(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		ok, s := saga.NewSignal[string]("ok"), store()
		def := saga.Define("trip", 1, saga.Await(ok, func(t *trip, s string) error { t.Stops = append(t.Stops, s); return nil }).Within(700*time.Millisecond))
		e, stop := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		eventually(t, "waits", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.Steps[0].Status == "waiting"
		})
		d, err := e.Show(within(t), "t1")
		require.NoError(t, err)
		stop()
		require.NoError(t, ok.Send(within(t), e, "t1", "in time"))
		eventually(t, "the deadline passes", func() bool { return time.Now().After(d.Timers[0].Due.Add(50 * time.Millisecond)) })
		require.NoError(t, ok.Send(within(t), e, "t1", "too late"))
		second, _ := engine(t, saga.Config{}, s, def)
		_ = second
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"in time"}, out.Stops)
	})
}

// A verb that arrives when it does not apply any more says so, in the journal and to whoever asked.
func TestVerbThatComesTooLateIsNotSilent(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		s, fail := store(), atomic.Bool{}
		fail.Store(true)
		ok := saga.NewSignal[bool]("ok")
		refused := make(chan saga.SagaEvent, 10)
		def := saga.Define("trip", 1, saga.Retriable("flaky", func(saga.Ctx, trip) (saga.None, error) {
			if fail.Load() {
				return saga.None{}, errors.New("not yet")
			}
			return saga.None{}, nil
		}).Retry(saga.Retry{Max: 1}), saga.Await(ok, func(*trip, bool) error { return nil }).Within(time.Hour))
		e, stop := engine(t, saga.Config{}, s, def)
		run, err := def.Start(within(t), e, "t1", trip{})
		require.NoError(t, err)
		parks(t, e, "t1")
		stop()
		fail.Store(false)
		retry, err := e.Intervene(within(t), "t1", saga.Verb{Do: saga.VerbRetry}, ann)
		require.NoError(t, err)
		again, err := e.Intervene(within(t), "t1", saga.Verb{Do: saga.VerbResolve, Step: "flaky"}, ann)
		require.NoError(t, err)
		skip, err := e.Intervene(within(t), "t1", saga.Verb{Do: saga.VerbSkip, Step: "flaky"}, ann)
		require.NoError(t, err)
		soon, cancel := context.WithTimeout(within(t), 10*time.Millisecond)
		require.ErrorIs(t, retry.Wait(soon), saga.ErrPending)
		cancel()
		engine(t, saga.Config{Hooks: saga.Hooks{Refused: func(_ context.Context, e saga.SagaEvent) { refused <- e }}}, s, def)
		require.NoError(t, retry.Wait(within(t)))
		require.NoError(t, again.Wait(within(t)))
		err = skip.Wait(within(t))
		require.ErrorIs(t, err, saga.ErrNotApplicable)
		require.ErrorContains(t, err, "the step is done")
		require.Equal(t, "flaky", (<-refused).Step)
		require.Equal(t, []string{"resumed ", "resolved flaky", "refused flaky"}, audit(t, e, "t1"))
		require.NoError(t, ok.Send(within(t), e, "t1", true))
		_, err = run.Result(within(t))
		require.NoError(t, err)
	})
}

// Verbs that race with the step's own success leave one outcome and one record each, and every answer is true.
func TestVerbsRaceWithCompletion(t *testing.T) {
	t.Parallel()
	def := saga.Define("trip", 1, saga.Step("a", func(saga.Ctx, trip) (string, error) { return "own", nil }).
		Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) }), saga.Sleep("nap", func(trip) time.Duration { return 5 * time.Millisecond }))
	e, _ := engine(t, saga.Config{Poll: time.Millisecond}, sqliteStore(t), def)
	verbs := []saga.Verb{{Do: saga.VerbSkip, Step: "a"}, {Do: saga.VerbResolve, Step: "a", Result: json.RawMessage(`"given"`)}, {Do: saga.VerbCancel}, {Do: saga.VerbTerminate}}
	for n := range 40 {
		id, v := saga.ID(fmt.Sprint("t", n)), verbs[n%len(verbs)]
		run, err := def.Start(within(t), e, id, trip{})
		require.NoError(t, err)
		err = intervene(t, e, id, v)
		out, end := run.Result(within(t))
		var ve *saga.VerbError
		if err != nil {
			require.ErrorAs(t, err, &ve)
			require.NoError(t, end)
			require.Equal(t, []string{"own"}, out.Stops)
			continue
		}
		require.Len(t, audit(t, e, id), 1)
		switch v.Do {
		case saga.VerbSkip:
			require.Empty(t, out.Stops)
		case saga.VerbResolve:
			require.Equal(t, []string{"given"}, out.Stops)
		case saga.VerbCancel:
			require.ErrorAs(t, end, new(*saga.CompensatedError))
		default:
			require.ErrorAs(t, end, new(*saga.TerminatedError))
		}
	}
}

// A saga that cannot be read can be terminated, and then is terminated for everybody.
func TestUnreadableSagaIsTerminated(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		for what, body := range map[string]string{"ghost": `{"t":1,"n":"ghost"}`, "damage": `{`} {
			s, def := store(), saga.Define("trip-"+what, 1, step("a", nothing))
			client, err := saga.New(saga.Config{}, s, def)
			require.NoError(t, err)
			id := saga.ID("t " + what)
			run, err := def.Start(within(t), client, id, trip{})
			require.NoError(t, err)
			_, err = s.DB().Exec(t.Context(), `insert into saga_journal (uid, seq, epoch, kind, body) select uid, 2, 1, 2, $2 from saga_key where id = $1`, string(id), body)
			require.NoError(t, err)
			e, _ := engine(t, saga.Config{Hooks: saga.Hooks{Failed: func(context.Context, error) {}}}, s, def)
			_, err = e.Intervene(within(t), id, saga.Verb{Do: saga.VerbPause}, ann)
			require.ErrorIs(t, err, saga.ErrUnreadable)
			require.NoError(t, intervene(t, e, id, saga.Verb{Do: saga.VerbTerminate}))
			var te *saga.TerminatedError
			_, err = run.Result(within(t))
			require.ErrorAs(t, err, &te)
			require.Equal(t, "ann", te.Actor)
			require.Equal(t, saga.State(saga.TerminatedByHand), state(t, e, id))
			page, err := e.Search(within(t), saga.Filter{State: saga.State(saga.TerminatedByHand), IDPrefix: id}, "", 0)
			require.NoError(t, err)
			require.Len(t, page.Sagas, 1)
		}
	})
}

// An attempt that had been given up and succeeds after its undo is recorded, and undone again under a key of its own.
func TestLateSuccessIsUndone(t *testing.T) {
	t.Parallel()
	l, free, hung := &log{}, make(chan struct{}), make(chan saga.AttemptEvent, 10)
	keys := make(chan string, 10)
	deaf := saga.Step("deaf", func(saga.Ctx, trip) (string, error) { <-free; return "late", nil }).
		Undo(func(c saga.Ctx, _ trip, r string) error {
			l.add("undo deaf known=%t %q", c.ResultKnown(), r)
			keys <- c.Key()
			return nil
		}).Timeout(10 * time.Millisecond).Retry(saga.Retry{Max: 1})
	gate := make(chan struct{})
	first := saga.Step("first", func(saga.Ctx, trip) (string, error) { return "", nil }).
		Undo(func(c saga.Ctx, _ trip, _ string) error { return held(c, gate) })
	def := saga.Define("trip", 1, first, deaf)
	e, _ := engine(t, saga.Config{Grace: 20 * time.Millisecond, Hooks: hungHooks(hung)}, sqliteStore(t), def)
	run, err := def.Start(within(t), e, "t1", trip{})
	require.NoError(t, err)
	before := <-keys
	close(free)
	after := <-keys
	close(gate)
	require.NotEqual(t, before, after)
	_, err = run.Result(within(t))
	require.ErrorAs(t, err, new(*saga.CompensatedError))
	require.Equal(t, []string{`undo deaf known=false ""`, `undo deaf known=true "late"`}, l.all())
}

// A fork goes on from a step with what came before, under the keys of the source, and only one may.
func TestFork(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l, broken := &log{}, atomic.Bool{}
		broken.Store(true)
		var keys []string
		a := saga.Step("a", func(c saga.Ctx, _ trip) (string, error) { keys = append(keys, c.Key()); return "a", nil }).
			Undo(func(c saga.Ctx, _ trip, r string) error {
				keys = append(keys, c.Key())
				l.add("undo a %q", r)
				return nil
			}).
			Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) })
		b := saga.TxStep("b", func(saga.Ctx, dataTx, trip) (string, error) {
			if broken.Load() {
				return "", errors.New("broken")
			}
			return "", saga.Reject("no")
		}).Retry(saga.Retry{Max: 99, First: time.Hour, Cap: time.Hour})
		def := saga.Define("trip", 1, a, b)
		e, _ := engine(t, saga.Config{}, store(), def)
		_, err := def.Start(within(t), e, "source", trip{})
		require.NoError(t, err)
		eventually(t, "fails", func() bool { st, err := e.Status(t.Context(), "source"); return err == nil && st.Steps[1].Failed == 1 })
		require.ErrorContains(t, e.Fork(within(t), "source", "f1", "b", ann), "has not ended")
		require.NoError(t, intervene(t, e, "source", saga.Verb{Do: saga.VerbTerminate}))
		require.ErrorContains(t, e.Fork(within(t), "source", "f1", "a", ann), `"a" has run in the source`)
		require.ErrorIs(t, e.Fork(within(t), "source", "f1", "c", ann), saga.ErrUnknownStep)
		broken.Store(false)
		require.NoError(t, e.Fork(within(t), "source", "f1", "b", ann))
		require.NoError(t, e.Fork(within(t), "source", "f1", "b", ann), "the same again")
		require.ErrorIs(t, e.Fork(within(t), "source", "f2", "b", ann), saga.ErrForked)
		run, err := def.Find(within(t), e, "f1")
		require.NoError(t, err)
		out, err := run.Result(within(t))
		require.ErrorAs(t, err, new(*saga.CompensatedError))
		require.Equal(t, []string{"a"}, out.Stops)
		require.Equal(t, []string{`undo a "a"`}, l.all())
		require.Equal(t, keys[0][:36], keys[1][:36], "the undo bears the key of the saga that did it")
		d, err := e.Show(within(t), "f1")
		require.NoError(t, err)
		require.Equal(t, saga.ID("source"), d.ForkOf)
		require.Equal(t, []string{"forked b"}, audit(t, e, "f1"))
		d, err = e.Show(within(t), "source")
		require.NoError(t, err)
		require.Equal(t, []saga.ID{"f1"}, d.Forks)
		require.ErrorContains(t, e.Fork(within(t), "f1", "f3", "b", ann), `"a", which comes before, is undone`)
	})
}
