// Package domain holds what an order is and what can happen to it. An order is the sum of its events. The package knows no
// database, no network and no clock.
package domain

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// State is where an order stands.
type State string

// The ways in which an order can stand.
const (
	Placed    State = "placed"
	Approved  State = "approved"
	Cancelled State = "cancelled"
)

// Order is what a customer asked for and what became of it.
type Order struct {
	ID                  string
	CustomerID          string
	PetID               string
	PaymentMethod       string
	Priority            string
	SpecialInstructions string

	State        State
	PetName      string
	AmountCents  int64
	Currency     string
	PaymentID    string
	DeliveryID   string
	DeliverySlot string

	// Version counts the order's events.
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Event is one thing that happened to an order. Exactly one of the pointers is set.
type Event struct {
	OrderID string
	// Version numbers the order's events from 1 without gaps.
	Version   int64
	At        time.Time
	Created   *Created
	Approval  *Approval
	Cancelled *Cancellation
}

// Created begins an order.
type Created struct {
	CustomerID          string `json:"customer_id"`
	PetID               string `json:"pet_id"`
	PaymentMethod       string `json:"payment_method"`
	Priority            string `json:"priority"`
	SpecialInstructions string `json:"special_instructions,omitempty"`
}

// Approval ends an order well.
type Approval struct {
	PetName      string `json:"pet_name"`
	AmountCents  int64  `json:"amount_cents"`
	Currency     string `json:"currency"`
	PaymentID    string `json:"payment_id"`
	DeliveryID   string `json:"delivery_id"`
	DeliverySlot string `json:"delivery_slot"`
}

// Cancellation ends an order that came to nothing; why is in the saga's journal.
type Cancellation struct{}

// ErrEnded says that an order is approved or cancelled already.
var ErrEnded = errors.New("the order has ended")

// ErrSequence says that an event does not follow on what is known of its order.
var ErrSequence = errors.New("the event does not follow")

// Apply adds the next event to the order. The zero Order takes a Created only.
func (o Order) Apply(e Event) (Order, error) {
	if e.Version != o.Version+1 || (o.Version > 0 && e.OrderID != o.ID) {
		return o, fmt.Errorf("order %q at version %d, event of %q with %d: %w", o.ID, o.Version, e.OrderID, e.Version, ErrSequence)
	}
	switch {
	case e.Created != nil && o.Version == 0:
		o = Order{
			ID: e.OrderID, CustomerID: e.Created.CustomerID, PetID: e.Created.PetID, PaymentMethod: e.Created.PaymentMethod,
			Priority: e.Created.Priority, SpecialInstructions: e.Created.SpecialInstructions, State: Placed, CreatedAt: e.At,
		}
	case e.Approval != nil && o.State == Placed:
		o.State = Approved
		o.PetName, o.AmountCents, o.Currency = e.Approval.PetName, e.Approval.AmountCents, e.Approval.Currency
		o.PaymentID, o.DeliveryID, o.DeliverySlot = e.Approval.PaymentID, e.Approval.DeliveryID, e.Approval.DeliverySlot
	case e.Cancelled != nil && o.State == Placed:
		o.State = Cancelled
	case o.State == Approved || o.State == Cancelled:
		return o, fmt.Errorf("order %q is %s: %w", o.ID, o.State, ErrEnded)
	default:
		return o, fmt.Errorf("order %q: %w", o.ID, ErrSequence)
	}
	o.Version, o.UpdatedAt = e.Version, e.At
	return o, nil
}

// Rebuild adds up an order's events.
func Rebuild(events []Event) (Order, error) {
	var o Order
	for _, e := range events {
		var err error
		if o, err = o.Apply(e); err != nil {
			return o, err
		}
	}
	return o, nil
}

var idAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// ID derives an order's id from who orders and the key of the request, so that a request sent twice names one order.
func ID(customerID, idempotencyKey string) string {
	// The length keeps ("ab", "c") and ("a", "bc") apart.
	sum := sha256.Sum256([]byte(strconv.Itoa(len(customerID)) + ":" + customerID + idempotencyKey))
	return "ord-" + strings.ToLower(idAlphabet.EncodeToString(sum[:]))[:20]
}

// TaxBasis is a tax rate in hundredths of a percent: 800 is 8 %. An integer, so that an amount never depends on rounding twice.
func TaxBasis(rate float64) int64 { return int64(math.Round(rate * 10_000)) }

// WithTax adds tax to a price, rounded half up to the cent.
func WithTax(priceCents, taxBasis int64) int64 {
	return priceCents + (priceCents*taxBasis+5_000)/10_000
}
