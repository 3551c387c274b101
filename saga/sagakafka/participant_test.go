package sagakafka_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// engines runs a test on every engine.
func engines(t *testing.T, test func(t *testing.T, b *bank)) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newBank(t, open(t)))
		})
	}
}

const (
	doKey   = "uid/pay/do"
	undoKey = "uid/pay/undo"
)

// deliver hands a command over and checks how it ended.
func (b *bank) deliver(t *testing.T, d saga.Direction, outcome string) {
	t.Helper()
	require.NoError(t, b.participant.Handle(t.Context(), command("pay", d)))
	require.Equal(t, outcome, b.lastOutcome())
}

func (b *bank) requireEffects(t *testing.T, charges, voids int) {
	t.Helper()
	c, v := b.effects(t, t.Context(), "pay")
	require.Equal(t, [2]int{charges, voids}, [2]int{c, v}, "charges and voids")
}

func TestCommandHasOneEffectAndRepeatsItsReply(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		b.deliver(t, saga.Do, sagakafka.HandledDone)
		b.deliver(t, saga.Do, sagakafka.HandledRepeated)
		b.requireEffects(t, 1, 0)
		want := reply{outcome: "done", body: `{"id":"p-o-1"}`}
		require.Equal(t, []reply{want, want}, b.replies(t, t.Context(), doKey))
	})
}

func TestCompensationTakesTheEffectBackOnce(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		b.deliver(t, saga.Do, sagakafka.HandledDone)
		b.deliver(t, saga.Undo, sagakafka.HandledUndone)
		b.deliver(t, saga.Undo, sagakafka.HandledRepeated)
		b.deliver(t, saga.Do, sagakafka.HandledBarred) // a copy of the command that was on its way
		b.requireEffects(t, 1, 1)
		require.Equal(t, []reply{{outcome: "done"}, {outcome: "done"}}, b.replies(t, t.Context(), undoKey))
	})
}

func TestCommandAfterItsCompensationIsRefused(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		b.deliver(t, saga.Undo, sagakafka.HandledNull)
		b.deliver(t, saga.Do, sagakafka.HandledBarred)
		b.deliver(t, saga.Undo, sagakafka.HandledRepeated)
		b.requireEffects(t, 0, 0)
		require.Equal(t, "rejected", b.replies(t, t.Context(), doKey)[0].outcome)
		require.Equal(t, []reply{{outcome: "done"}, {outcome: "done"}}, b.replies(t, t.Context(), undoKey))
	})
}

func TestRefusalHasNoEffectAndIsFinal(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		b.onWrite(func(saga.Ctx) error { return saga.Reject("card declined\x00") })
		b.deliver(t, saga.Do, sagakafka.HandledRejected)
		b.onWrite(nil)
		b.deliver(t, saga.Do, sagakafka.HandledRepeated)
		b.deliver(t, saga.Undo, sagakafka.HandledNull)
		b.requireEffects(t, 0, 0)
		want := reply{outcome: "rejected", reason: "card declined\uFFFD"}
		require.Equal(t, []reply{want, want}, b.replies(t, t.Context(), doKey))
	})
}

func TestFailureLeavesNothingBehind(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		broken := errors.New("broken")
		b.onWrite(func(saga.Ctx) error { return broken })
		require.ErrorIs(t, b.participant.Handle(t.Context(), command("pay", saga.Do)), broken)
		require.Empty(t, b.replies(t, t.Context(), doKey))
		b.onWrite(nil)
		b.deliver(t, saga.Do, sagakafka.HandledDone)
		b.onWrite(func(saga.Ctx) error { return broken })
		require.ErrorIs(t, b.participant.Handle(t.Context(), command("pay", saga.Undo)), broken)
		b.requireEffects(t, 1, 0)
		b.onWrite(func(saga.Ctx) error { return saga.Reject("too late to void") })
		b.deliver(t, saga.Undo, sagakafka.HandledRejected) // the saga parks with this reason
		b.onWrite(nil)
		b.deliver(t, saga.Undo, sagakafka.HandledUndone) // somebody mended it and retried
		b.requireEffects(t, 1, 1)
		require.Equal(t, []reply{{outcome: "rejected", reason: "too late to void"}, {outcome: "done"}}, b.replies(t, t.Context(), undoKey))
	})
}

// Copies of the command and of the compensation arrive all at once, in many goroutines.
func TestBarrierHoldsUnderConcurrency(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		for round := range 10 {
			step := fmt.Sprintf("step-%d", round)
			var all sync.WaitGroup
			for n := range 6 {
				d := []saga.Direction{saga.Do, saga.Undo}[n%2]
				all.Go(func() {
					for b.participant.Handle(t.Context(), command(step, d)) != nil {
						if t.Context().Err() != nil {
							return
						}
					}
				})
			}
			all.Wait()
			charges, voids := b.effects(t, t.Context(), step)
			require.LessOrEqual(t, charges, 1)
			require.Equal(t, charges, voids, "what was done was taken back")
		}
	})
}

// Any deliveries in any order, with handlers that fail or refuse: the effects are those of a model that knows only what first came.
func TestBarrierKeepsItsPromises(t *testing.T) {
	t.Parallel()
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: datasqlite.Memory})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	b := newBank(t, db)
	rapid.Check(t, func(rt *rapid.T) {
		_, err := db.Exec(t.Context(), "delete from mmf_outbox; delete from mmf_saga_barrier; delete from effects")
		require.NoError(rt, err)
		state := map[string]string{}
		lastDo := map[string]string{} // the outcome that was told first; no later reply may contradict it while the effect stands
		for range rapid.IntRange(1, 25).Draw(rt, "deliveries") {
			step := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "step")
			d := rapid.SampledFrom([]saga.Direction{saga.Do, saga.Undo}).Draw(rt, "direction")
			fault := rapid.SampledFrom([]string{"", "", "fail", "refuse"}).Draw(rt, "fault")
			b.onWrite(func(saga.Ctx) error {
				switch fault {
				case "fail":
					return errors.New("broken")
				case "refuse":
					return saga.Reject("no")
				}
				return nil
			})
			before := len(b.replies(rt, t.Context(), "uid/"+step+"/"+string(d)))
			err := b.participant.Handle(t.Context(), command(step, d))
			runs := d == saga.Do && state[step] == "" || d == saga.Undo && state[step] == "done"
			answers := b.replies(rt, t.Context(), "uid/"+step+"/"+string(d))[before:]
			if runs && fault == "fail" {
				require.Error(rt, err)
				require.Empty(rt, answers)
				continue
			}
			require.NoError(rt, err)
			require.Len(rt, answers, 1)
			switch {
			case runs && d == saga.Do:
				state[step] = map[string]string{"": "done", "refuse": "rejected"}[fault]
				lastDo[step] = answers[0].outcome
				require.Equal(rt, state[step], answers[0].outcome)
			case runs && fault == "refuse":
				require.Equal(rt, "rejected", answers[0].outcome)
			case d == saga.Undo:
				require.Equal(rt, "done", answers[0].outcome)
				if state[step] != "rejected" {
					state[step] = "over"
				}
			case state[step] == "over":
				require.Equal(rt, "rejected", answers[0].outcome)
			default:
				require.Equal(rt, lastDo[step], answers[0].outcome)
			}
			charges, voids := b.effects(rt, t.Context(), step)
			require.LessOrEqual(rt, charges, 1)
			require.LessOrEqual(rt, voids, charges)
			require.Equal(rt, state[step] == "done", charges-voids == 1)
		}
	})
}

func TestWhatIsNoCommandIsRefusedForGood(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		for name, change := range map[string]func(*data.Event){
			"undeclared":      func(ev *data.Event) { ev.Type = "bank.unknown.v1" },
			"no direction":    func(ev *data.Event) { delete(ev.Headers, sagakafka.DirectionHeader) },
			"other direction": func(ev *data.Event) { ev.Headers[sagakafka.DirectionHeader] = "sideways" },
			"wrong key":       func(ev *data.Event) { ev.Headers[sagakafka.KeyHeader] = "uid/pay/undo" },
			"key with NUL":    func(ev *data.Event) { ev.Headers[sagakafka.KeyHeader] = "\x00/do" },
			"no step":         func(ev *data.Event) { delete(ev.Headers, sagakafka.StepHeader) },
			"no way back":     func(ev *data.Event) { delete(ev.Headers, sagakafka.ReplyToHeader) },
			"bad attempt":     func(ev *data.Event) { ev.Headers[sagakafka.AttemptHeader] = "0" },
		} {
			ev := command("pay", saga.Do)
			change(&ev)
			var me *sagakafka.MessageError
			require.ErrorAs(t, b.participant.Handle(t.Context(), ev), &me, name)
			require.True(t, me.Permanent())
		}
		ev := command("pay", saga.Do)
		ev.Data = []byte(`[`)
		require.NoError(t, b.participant.Handle(t.Context(), ev))
		require.Equal(t, "rejected", b.replies(t, t.Context(), doKey)[0].outcome,
			"a payload that does not decode has no effect: the saga may know at once")
		b.requireEffects(t, 0, 0)
	})
}

func TestPurgeForgetsWhatIsOld(t *testing.T) {
	engines(t, func(t *testing.T, b *bank) {
		b.deliver(t, saga.Do, sagakafka.HandledDone)
		n, err := b.participant.Purge(t.Context(), time.Hour)
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = b.participant.Purge(t.Context(), -time.Hour)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	})
}

func TestConstructorsListEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := sagakafka.NewParticipant(sagakafka.ParticipantConfig{}, nil,
		sagakafka.On[int, int]("a", nil, nil), sagakafka.On("b", func(saga.Ctx, data.Tx, int) (int, error) { return 0, nil }, nil),
		sagakafka.On("b", func(saga.Ctx, data.Tx, int) (int, error) { return 0, nil }, nil))
	for _, problem := range []string{"the name", "Write", "database", `"a"`, `"b" is declared twice`} {
		require.ErrorContains(t, err, problem)
	}
	_, err = sagakafka.NewCaller(sagakafka.CallerConfig{})
	require.ErrorContains(t, err, "ReplyTopic")
	require.ErrorContains(t, err, "Write")
	def := saga.Define("d", 1, sagakafka.Call("a", sagakafka.Target{}, func(int) int { return 0 }, func(*int, int) {}))
	require.ErrorContains(t, def.Err(), `"a"`)
}

func TestRepliesRefuseWhatIsNoReply(t *testing.T) {
	t.Parallel()
	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{
		ReplyTopic: "replies", Write: func(context.Context, data.Tx, ...data.Event) error { return nil },
	})
	require.NoError(t, err)
	var got []saga.Reply
	take := caller.Replies(replierFunc(func(r saga.Reply) error { got = append(got, r); return nil }))
	good := func() data.Event {
		ev := command("pay", saga.Do)
		ev.Type = sagakafka.ReplyType
		ev.Headers[sagakafka.OutcomeHeader] = "done"
		return ev
	}
	require.NoError(t, take(t.Context(), command("pay", saga.Do)), "another type is none of its business")
	require.Empty(t, got)
	require.NoError(t, take(t.Context(), good()))
	require.Equal(t, doKey, got[0].Key)
	require.JSONEq(t, `{"order":"o-1","cents":4200}`, string(got[0].Result))
	for name, change := range map[string]func(*data.Event){
		"no outcome": func(ev *data.Event) { delete(ev.Headers, sagakafka.OutcomeHeader) },
		"no JSON":    func(ev *data.Event) { ev.Data = []byte("{") },
		"no key":     func(ev *data.Event) { delete(ev.Headers, sagakafka.KeyHeader) },
	} {
		ev := good()
		change(&ev)
		var me *sagakafka.MessageError
		require.ErrorAs(t, take(t.Context(), ev), &me, name)
	}
	require.Len(t, got, 1)
}

type replierFunc func(saga.Reply) error

func (f replierFunc) Reply(_ context.Context, _ data.Querier, r saga.Reply) error { return f(r) }
