package order

import (
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// SagaName is the saga of a purchase.
const SagaName = "place_order"

// PlaceOrder says what buying a pet means. Read it from top to bottom; when a step fails, what stands above it is taken back from
// bottom to top: the delivery is cancelled, the money is paid back, the pet is released, the order is cancelled.
//
// The process may die at any point. A step on the order's own rows commits together with the journal; a command to another service is
// in the outbox exactly when the journal says that it was sent, and is sent again under the same key until its reply is in the
// journal; the other service does the work once per key. What may or may not have happened is taken back too, which the other
// service also understands as "do it no more".
func PlaceOrder(steps *app.Steps, remote *sagakafka.Caller, timeout time.Duration) *saga.Def[app.Purchase] {
	return saga.Define(SagaName, 1,
		saga.TxStep("create_order", steps.Create).
			Into(func(p *app.Purchase, q app.Quote) { p.TaxBasis = q.TaxBasis }).
			Undo(steps.Cancel),
		saga.Publish("publish_created", app.CreatedEvent),
		sagakafka.Call("reserve_pet", remote.To(platform.TopicCatalogCommands, platform.CommandReservePet),
			func(p app.Purchase) platform.ReservePet {
				return platform.ReservePet{OrderID: p.OrderID, PetID: p.PetID, CustomerID: p.CustomerID}
			},
			func(p *app.Purchase, r platform.PetReserved) {
				p.PetName, p.Currency, p.AmountCents = r.Name, r.Currency, domain.WithTax(r.PriceCents, p.TaxBasis)
			}).Timeout(timeout),
		sagakafka.Call("process_payment", remote.To(platform.TopicPaymentCommands, platform.CommandProcessPayment),
			func(p app.Purchase) platform.ProcessPayment {
				return platform.ProcessPayment{
					OrderID: p.OrderID, CustomerID: p.CustomerID, AmountCents: p.AmountCents, Currency: p.Currency, PaymentMethod: p.PaymentMethod,
				}
			},
			func(p *app.Purchase, r platform.PaymentProcessed) { p.PaymentID = r.PaymentID }).Timeout(timeout),
		sagakafka.Call("schedule_delivery", remote.To(platform.TopicDeliveryCommands, platform.CommandScheduleDelivery),
			func(p app.Purchase) platform.ScheduleDelivery {
				return platform.ScheduleDelivery{OrderID: p.OrderID, CustomerID: p.CustomerID, PetID: p.PetID, Priority: p.Priority}
			},
			func(p *app.Purchase, r platform.DeliveryScheduled) { p.DeliveryID, p.Slot = r.DeliveryID, r.Slot }).Timeout(timeout),
		saga.TxPivot("confirm_order", steps.Confirm), // an approved order is not cancelled any more
		saga.Publish("publish_approved", app.ApprovedEvent),
	).Searchable(func(p app.Purchase) map[string]string {
		return map[string]string{"customer": p.CustomerID, "pet": p.PetID}
	})
}
