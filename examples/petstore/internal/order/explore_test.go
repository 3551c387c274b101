package order_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/order"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// others plays the other services behind their real barrier; their effects are in the kit's ledgers.
func others(w *sagatest.World) (*sagakafka.Participant, error) {
	pets, payments, vans := w.Participant("catalog"), w.Participant("payment"), w.Participant("delivery")
	return sagakafka.NewParticipant(sagakafka.ParticipantConfig{Name: "others", Write: w.Write}, w.OtherDB(),
		sagakafka.On(platform.CommandReservePet, func(c saga.Ctx, _ data.Tx, cmd platform.ReservePet) (platform.PetReserved, error) {
			return platform.PetReserved{PetID: cmd.PetID, Name: "Bubbles", PriceCents: 2500, Currency: "USD"}, pets.Do(c, c.Key())
		}, func(c saga.Ctx, _ data.Tx, _ platform.ReservePet, _ platform.PetReserved) error {
			return pets.Undo(c, c.Key())
		}),
		sagakafka.On(platform.CommandProcessPayment, func(c saga.Ctx, _ data.Tx, cmd platform.ProcessPayment) (platform.PaymentProcessed, error) {
			if cmd.AmountCents != 2700 {
				return platform.PaymentProcessed{}, fmt.Errorf("asked for %d cents", cmd.AmountCents)
			}
			return platform.PaymentProcessed{PaymentID: "pay-1", Status: "charged"}, payments.Do(c, c.Key())
		}, func(c saga.Ctx, _ data.Tx, _ platform.ProcessPayment, _ platform.PaymentProcessed) error {
			return payments.Undo(c, c.Key())
		}),
		sagakafka.On(platform.CommandScheduleDelivery, func(c saga.Ctx, _ data.Tx, _ platform.ScheduleDelivery) (platform.DeliveryScheduled, error) {
			return platform.DeliveryScheduled{DeliveryID: "del-1", Slot: "tomorrow"}, vans.Do(c, c.Key())
		}, func(c saga.Ctx, _ data.Tx, _ platform.ScheduleDelivery, _ platform.DeliveryScheduled) error {
			return vans.Undo(c, c.Key())
		}),
	)
}

// placeOrder sets the purchase up in a world where everything can fail.
func placeOrder(w *sagatest.World) *saga.Def[app.Purchase] {
	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: platform.TopicSagaReplies, Write: w.Write})
	if err != nil {
		panic(err)
	}
	services, err := others(w)
	if err != nil {
		panic(err)
	}
	for _, topic := range []string{platform.TopicCatalogCommands, platform.TopicPaymentCommands, platform.TopicDeliveryCommands} {
		w.Consume(topic, services.Handle)
	}
	w.Consume(platform.TopicSagaReplies, func(ctx context.Context, ev data.Event) error { return caller.Replies(w.Engine())(ctx, ev) })
	var approved atomic.Bool // events arrive side by side
	w.Consume(platform.TopicOrderEvents, func(_ context.Context, ev data.Event) error {
		if ev.Type == platform.EventOrderApproved {
			approved.Store(true)
		}
		return nil
	})

	store := adapters.SQL{}
	w.Always("nothing is delivered that is not paid", func() error {
		if w.Participant("delivery").Holds("schedule_delivery") && !w.Participant("payment").Holds("process_payment") {
			return errors.New("a van is booked and nobody paid")
		}
		return nil
	})
	w.Finally("the order says how it ended", func(end saga.Outcome) error {
		o, err := store.Get(context.Background(), w.DB(), "order-1")
		want := map[saga.Outcome]domain.State{saga.Completed: domain.Approved, saga.Compensated: domain.Cancelled}[end]
		if errors.Is(err, data.ErrNoRows) && end == saga.Compensated {
			return nil // it was never created
		}
		if err != nil || o.State != want {
			return fmt.Errorf("the saga ended %s and the order is %q: %w", end, o.State, err)
		}
		if approved.Load() && end != saga.Completed {
			return errors.New("the world was told that it was approved")
		}
		return nil
	})
	return order.PlaceOrder(app.NewSteps(store, w.Write, func() float64 { return 0.08 }), caller, 5*time.Second)
}

// The petstore's purchase survives every single fault, and every pair of them with MMF_TEST_EXPLORE=pairs.
func TestPlaceOrderSurvivesEveryFault(t *testing.T) {
	faults := 1
	if os.Getenv("MMF_TEST_EXPLORE") == "pairs" {
		faults = 2
	}
	up := func(ctx context.Context, db data.DB) error {
		return migrate.Up(ctx, db, order.Migrations(), migrate.Config{Name: "order"})
	}
	barrier := func(ctx context.Context, db data.DB) error {
		return migrate.Up(ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName})
	}
	input := request("alice")
	input.OrderID = "order-1"
	r := sagatest.Explore(t, input, placeOrder, sagatest.Schema(up), sagatest.OtherSchema(barrier), sagatest.Faults(faults))
	require.Positive(t, r.Fired[sagatest.Reject])
	require.Positive(t, r.Fired[sagatest.LateEvent])
}
