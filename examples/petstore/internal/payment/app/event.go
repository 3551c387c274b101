package app

import (
	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
)

// Event is the payload of payment's events: petstore.payment.charged.v1, .declined.v1 and .refunded.v1. It names no payment
// method: what pays is nobody else's business.
type Event struct {
	PaymentID   string `json:"payment_id"`
	OrderID     string `json:"order_id"`
	CustomerID  string `json:"customer_id"`
	AmountCents int64  `json:"amount_cents"`
	Currency    string `json:"currency"`
	Status      string `json:"status"`
	Reason      string `json:"reason,omitempty"`
}

// event tells that the payment reached its status. Its id follows from both, so a status is told once.
func event(topic string, p domain.Payment) data.Event {
	return data.Event{
		ID: p.ID + "." + string(p.Status), Topic: topic, Key: p.OrderID, Subject: p.OrderID, Time: p.UpdatedAt,
		Type: "petstore.payment." + string(p.Status) + ".v1",
		Data: Event{
			PaymentID: p.ID, OrderID: p.OrderID, CustomerID: p.CustomerID, AmountCents: p.Amount.Cents, Currency: p.Amount.Currency,
			Status: string(p.Status), Reason: p.Reason,
		},
	}
}
