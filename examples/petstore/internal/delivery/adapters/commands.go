package adapters

import (
	"errors"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// ScheduleDelivery is the order saga's command to delivery, with its compensation.
func ScheduleDelivery(deliveries *app.Deliveries) sagakafka.Command {
	return sagakafka.On(platform.CommandScheduleDelivery,
		func(ctx saga.Ctx, tx data.Tx, in platform.ScheduleDelivery) (platform.DeliveryScheduled, error) {
			priority, err := domain.ParsePriority(in.Priority)
			if err == nil && (in.OrderID == "" || in.CustomerID == "") {
				err = errors.New("order or customer is missing")
			}
			if err != nil {
				return platform.DeliveryScheduled{}, saga.Reject("this order cannot be delivered: %v", err)
			}
			delivery, err := deliveries.Schedule(ctx, tx, ctx.Key(), app.Request{
				OrderID: in.OrderID, CustomerID: in.CustomerID, PetID: in.PetID, Priority: priority,
			})
			if errors.Is(err, app.ErrNoSlots) {
				return platform.DeliveryScheduled{}, saga.Reject("%v", err) // final for this order
			}
			return platform.DeliveryScheduled{DeliveryID: delivery.ID, Slot: string(delivery.Day)}, err
		},
		func(ctx saga.Ctx, tx data.Tx, in platform.ScheduleDelivery, _ platform.DeliveryScheduled) error {
			return deliveries.Cancel(ctx, tx, in.OrderID)
		})
}
