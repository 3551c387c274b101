package platform

import (
	"encoding/json"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
)

// Topics of the shop. Events are keyed by the order's id (pet events by the pet's), so all that happens to one order
// arrives in order.
const (
	TopicPetEvents        = "petstore.pet.events.v1"
	TopicOrderEvents      = "petstore.order.events.v1"
	TopicPaymentEvents    = "petstore.payment.events.v1"
	TopicDeliveryEvents   = "petstore.delivery.events.v1"
	TopicCatalogCommands  = "petstore.catalog.commands.v1"
	TopicPaymentCommands  = "petstore.payment.commands.v1"
	TopicDeliveryCommands = "petstore.delivery.commands.v1"
	TopicSagaReplies      = "petstore.saga.replies.v1"
)

// Topics lists all of them; each also has a dead-letter topic.
func Topics() []string {
	return []string{
		TopicPetEvents, TopicOrderEvents, TopicPaymentEvents, TopicDeliveryEvents,
		TopicCatalogCommands, TopicPaymentCommands, TopicDeliveryCommands, TopicSagaReplies,
	}
}

// Commands of the order saga, with their payloads. They are what services agree on; everything else they keep to themselves.
const (
	CommandReservePet       = "reserve_pet"
	CommandProcessPayment   = "process_payment"
	CommandScheduleDelivery = "schedule_delivery"
)

// ReservePet asks the catalog to keep a pet for an order.
type ReservePet struct {
	OrderID    string `json:"order_id"`
	PetID      string `json:"pet_id"`
	CustomerID string `json:"customer_id"`
}

// PetReserved is the catalog's answer.
type PetReserved struct {
	PetID      string `json:"pet_id"`
	Name       string `json:"name"`
	PriceCents int64  `json:"price_cents"`
	Currency   string `json:"currency"`
}

// ProcessPayment asks the payment service to charge the customer.
type ProcessPayment struct {
	OrderID       string `json:"order_id"`
	CustomerID    string `json:"customer_id"`
	AmountCents   int64  `json:"amount_cents"`
	Currency      string `json:"currency"`
	PaymentMethod string `json:"payment_method"`
}

// PaymentProcessed is the payment service's answer.
type PaymentProcessed struct {
	PaymentID string `json:"payment_id"`
	Status    string `json:"status"`
}

// ScheduleDelivery asks the delivery service for a slot.
type ScheduleDelivery struct {
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	PetID      string `json:"pet_id"`
	Priority   string `json:"priority,omitempty"`
}

// DeliveryScheduled is the delivery service's answer.
type DeliveryScheduled struct {
	DeliveryID string `json:"delivery_id"`
	Slot       string `json:"slot"`
}

// Roles in tokens.
const (
	RoleCustomer = "customer"
	RoleAdmin    = "admin"
)

// Event types that others than their owner look at.
const (
	EventOrderCreated   = "petstore.order.created.v1"
	EventOrderApproved  = "petstore.order.approved.v1"
	EventOrderCancelled = "petstore.order.cancelled.v1"
)

// OrderEvent is the payload of all order events. What is not known yet is left out.
type OrderEvent struct {
	OrderID     string `json:"order_id"`
	CustomerID  string `json:"customer_id"`
	PetID       string `json:"pet_id"`
	State       string `json:"state"`
	AmountCents int64  `json:"amount_cents,omitempty"`
	Currency    string `json:"currency,omitempty"`
	PaymentID   string `json:"payment_id,omitempty"`
	DeliveryID  string `json:"delivery_id,omitempty"`
}

// Decode reads an event's payload. A payload that is no T will never be one, so the error sends the record to the dead-letter topic.
func Decode[T any](ev data.Event) (v T, err error) {
	body, _, err := ev.Payload()
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		return v, kafka.Permanent(fmt.Errorf("event %s of type %s: %w", ev.ID, ev.Type, err))
	}
	return v, nil
}
