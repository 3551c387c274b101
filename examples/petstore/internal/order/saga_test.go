package order_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/examples/petstore/internal/order"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

var errDown = errors.New("the database is down")

// TestSagaFailureMatrix breaks each step in each way. However it goes, the order ends, and what the others did matches its end.
func TestSagaFailureMatrix(t *testing.T) {
	t.Parallel()
	const approved, cancelled = domain.Approved, domain.Cancelled
	remote := []string{"reserve_pet", "process_payment", "schedule_delivery"}
	type row struct {
		name, step string
		how        func(r *rig, step string)
		want       domain.State
		failed     string // the step that the outcome blames
	}
	rows := []row{
		{name: "nothing", want: approved},
		{name: "everything arrives twice", want: approved, how: func(r *rig, _ string) { r.deliver = func(data.Event) int { return 2 } }},
		{name: "fails twice", step: "create_order", want: approved, how: failWrites(2, func(e domain.Event) bool { return e.Created != nil })},
		{name: "fails for good", step: "create_order", want: "", failed: "create_order", how: failWrites(99, func(e domain.Event) bool { return e.Created != nil })},
		{name: "fails twice", step: "confirm_order", want: approved, how: failWrites(2, func(e domain.Event) bool { return e.Approval != nil })},
	}
	for _, step := range remote {
		rows = append(rows,
			row{"is refused", step, refuse, cancelled, step},
			row{"is refused and the compensation fails twice", step, refuseAndFailCancel, cancelled, step},
			row{"fails twice", step, stumble, approved, ""},
			row{"is never answered", step, loseReplies, cancelled, step},
			row{"is never delivered", step, loseCommands, cancelled, step},
			row{"is answered late", step, lateReply, approved, ""},
			row{"arrives after its compensation", step, overtake, cancelled, step},
		)
	}
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range rows {
				t.Run(strings.TrimSpace(c.step+" "+c.name), func(t *testing.T) {
					t.Parallel()
					r := newRig(t, open(t), 300*time.Millisecond)
					if c.how != nil {
						c.how(r, c.step)
					}
					id := r.place("k")
					o, err := r.settle(id)
					require.Equal(t, c.want, o.State, "outcome: %v", err)
					var compensated *saga.CompensatedError
					if c.failed == "" {
						require.NoError(t, err)
						require.Equal(t, 3, r.effects(id))
						require.EqualValues(t, 2700, o.AmountCents)
						require.Equal(t, []string{platform.EventOrderCreated, platform.EventOrderApproved}, r.published(2))
					} else {
						require.ErrorAs(t, err, &compensated)
						require.Equal(t, c.failed, compensated.Step)
						require.Zero(t, r.effects(id))
						if c.want == cancelled {
							require.Equal(t, []string{platform.EventOrderCreated, platform.EventOrderCancelled}, r.published(2))
						}
					}
					events, err := r.orders.Store.Events(t.Context(), r.orders.DB, id)
					require.NoError(t, err)
					rebuilt, err := domain.Rebuild(events)
					require.NoError(t, err)
					require.Equal(t, o, rebuilt, "an order is what its events add up to")
				})
			}
		})
	}
}

func failWrites(times int, which func(domain.Event) bool) func(*rig, string) {
	return func(r *rig, _ string) {
		var mu sync.Mutex
		fail := func(e domain.Event) error {
			mu.Lock()
			defer mu.Unlock()
			if times == 0 || !which(e) {
				return nil
			}
			times--
			return errDown
		}
		r.breakStore.Store(&fail)
	}
}

func refuse(r *rig, step string) {
	r.perform = func(s string, _ int) error {
		if s == step {
			return saga.Reject("no %s today", s)
		}
		return nil
	}
}

func refuseAndFailCancel(r *rig, step string) {
	refuse(r, step)
	failWrites(2, func(e domain.Event) bool { return e.Cancelled != nil })(r, step)
}

func stumble(r *rig, step string) {
	var mu sync.Mutex
	left := 2
	r.perform = func(s string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if s != step || left == 0 {
			return nil
		}
		left--
		return errDown
	}
}

// about reports whether ev is a command or a reply of the step in that direction.
func about(ev data.Event, step string, direction saga.Direction, reply bool) bool {
	return ev.Subject == step && ev.Headers["saga-direction"] == string(direction) && reply == (ev.Topic == platform.TopicSagaReplies)
}

// loseReplies: the work is done, nobody ever hears of it. It is taken back.
func loseReplies(r *rig, step string) {
	r.deliver = func(ev data.Event) int {
		if about(ev, step, saga.Do, true) {
			return 0
		}
		return 1
	}
}

// loseCommands: the work is never done, and nobody can know.
func loseCommands(r *rig, step string) {
	r.deliver = func(ev data.Event) int {
		if about(ev, step, saga.Do, false) {
			return 0
		}
		return 1
	}
}

// lateReply: the first reply is lost, the command is sent again and gets the stored one.
func lateReply(r *rig, step string) {
	var mu sync.Mutex
	lost := false
	r.deliver = func(ev data.Event) int {
		mu.Lock()
		defer mu.Unlock()
		if about(ev, step, saga.Do, true) && !lost {
			lost = true
			return 0
		}
		return 1
	}
}

// overtake: the commands are held back until the compensation was carried out; then they arrive and must do nothing.
func overtake(r *rig, step string) {
	var mu sync.Mutex
	var held []data.Event
	r.deliver = func(ev data.Event) int {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case about(ev, step, saga.Do, false):
			held = append(held, ev)
			return 0
		case about(ev, step, saga.Undo, true):
			for _, late := range held {
				if err := r.participant.Handle(r.t.Context(), late); err != nil {
					r.t.Error(err)
				}
			}
			held = nil
		}
		return 1
	}
}

func TestCancelByTheCustomer(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), time.Minute)
	loseCommands(r, "schedule_delivery") // the saga stands still there
	id := r.place("k")
	require.Eventually(t, func() bool { return r.effects(id) == 2 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, r.orders.Cancel(t.Context(), appViewer("alice"), id, "changed my mind"))
	o, err := r.settle(id)
	var compensated *saga.CompensatedError
	require.ErrorAs(t, err, &compensated)
	require.Contains(t, compensated.Reason, "changed my mind")
	require.Equal(t, domain.Cancelled, o.State)
	require.Zero(t, r.effects(id))
	require.ErrorIs(t, r.orders.Cancel(t.Context(), appViewer("alice"), id, "again"), saga.ErrFinished)
}

// TestLintHasNothingToSay of the purchase as a fresh petstore runs it.
func TestLintHasNothingToSay(t *testing.T) {
	t.Parallel()
	write := func(context.Context, data.Tx, ...data.Event) error { return nil }
	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: platform.TopicSagaReplies, Write: write})
	require.NoError(t, err)
	steps := app.NewSteps(adapters.SQL{}, write, func() float64 { return 0.08 })
	def := order.PlaceOrder(steps, caller, platform.Defaults().Saga.StepTimeout)
	require.NoError(t, def.Err())
	require.Empty(t, saga.Lint(def))
}
