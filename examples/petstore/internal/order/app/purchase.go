// Package app holds what the order service does: take orders, carry the saga's steps on its own rows, answer questions.
package app

import (
	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// Purchase is the state of an order's saga: the request, and what the steps found out. The journal keeps it.
type Purchase struct {
	OrderID             string `json:"order_id"`
	CustomerID          string `json:"customer_id"`
	PetID               string `json:"pet_id"`
	PaymentMethod       string `json:"payment_method"`
	Priority            string `json:"priority"`
	SpecialInstructions string `json:"special_instructions,omitempty"`

	TaxBasis    int64  `json:"tax_basis,omitempty"`
	PetName     string `json:"pet_name,omitempty"`
	AmountCents int64  `json:"amount_cents,omitempty"`
	Currency    string `json:"currency,omitempty"`
	PaymentID   string `json:"payment_id,omitempty"`
	DeliveryID  string `json:"delivery_id,omitempty"`
	Slot        string `json:"slot,omitempty"`
}

// Quote is what create_order adds to the request: the tax of that moment, whatever the settings say later.
type Quote struct {
	TaxBasis int64 `json:"tax_basis"`
}

// CreatedEvent tells that somebody ordered.
func CreatedEvent(p Purchase) data.Event {
	return orderEvent(p, platform.EventOrderCreated, domain.Placed)
}

// ApprovedEvent tells that the purchase went through.
func ApprovedEvent(p Purchase) data.Event {
	return orderEvent(p, platform.EventOrderApproved, domain.Approved)
}

// CancelledEvent tells that the purchase came to nothing.
func CancelledEvent(p Purchase) data.Event {
	return orderEvent(p, platform.EventOrderCancelled, domain.Cancelled)
}

func orderEvent(p Purchase, kind string, state domain.State) data.Event {
	return data.Event{
		Topic: platform.TopicOrderEvents, Key: p.OrderID, Type: kind, Subject: p.OrderID,
		Data: platform.OrderEvent{
			OrderID: p.OrderID, CustomerID: p.CustomerID, PetID: p.PetID, State: string(state),
			AmountCents: p.AmountCents, Currency: p.Currency, PaymentID: p.PaymentID, DeliveryID: p.DeliveryID,
		},
	}
}
