package domain

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is where a payment stands. All but Charged are final.
type Status string

// The statuses. A payment that nobody heard of has none.
const (
	Charged  Status = "charged"
	Declined Status = "declined" // no money moved
	Refunded Status = "refunded" // money moved, and back
	Voided   Status = "voided"   // taken back before it was charged; it can never be charged
)

// Payment is one attempt of one order to pay. There is at most one per order.
type Payment struct {
	ID         string
	OrderID    string
	CustomerID string
	Amount     Money
	Method     string // the token that stands for a card, such as pm_visa; never a card number
	Status     Status
	Reason     string // of a declined payment
	// ChargeKey names the charge at the gateway: whoever knows it can ask what became of the charge, and take it back.
	ChargeKey string
	ChargeID  string // the gateway's own number
	RefundID  string // the gateway's own number, of a refunded payment
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PaymentID derives the payment's id from the charge's key, so that a repeated command gives the same id without
// anybody having to remember one.
func PaymentID(chargeKey string) string {
	sum := sha256.Sum256([]byte("payment\x00" + chargeKey))
	return "pay-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20])
}

// Order is what payment is asked to charge for.
type Order struct {
	ID         string
	CustomerID string
	Amount     Money
	Method     string
}

// Validate refuses an order that cannot be charged.
func (o Order) Validate() error {
	var errs []error
	for name, v := range map[string]string{"order": o.ID, "customer": o.CustomerID, "payment method": o.Method} {
		if v == "" || len(v) > maxText {
			errs = append(errs, fmt.Errorf("%s has %d bytes: it must have 1 to %d", name, len(v), maxText))
		}
	}
	return errors.Join(append(errs, o.Amount.Validate())...)
}

const maxText = 200

// Charge is the gateway's final word on a charge.
type Charge struct {
	ID       string // the gateway's own number
	Status   ChargeStatus
	Reason   string // why no money is held, for people
	RefundID string // of a refunded charge
}

// ChargeStatus is what became of a charge at the gateway.
type ChargeStatus string

// The statuses of a charge. A voided one was taken back before it ever happened, and can never happen.
const (
	ChargeCaptured ChargeStatus = "captured"
	ChargeDeclined ChargeStatus = "declined"
	ChargeRefunded ChargeStatus = "refunded"
	ChargeVoided   ChargeStatus = "voided"
)

// NewPayment is the payment of an order after the gateway has spoken.
func NewPayment(o Order, chargeKey string, c Charge, now time.Time) Payment {
	p := Payment{
		ID: PaymentID(chargeKey), OrderID: o.ID, CustomerID: o.CustomerID, Amount: o.Amount, Method: o.Method,
		ChargeKey: chargeKey, ChargeID: c.ID, Reason: c.Reason, RefundID: c.RefundID, CreatedAt: now, UpdatedAt: now,
	}
	switch c.Status {
	case ChargeCaptured:
		p.Status = Charged
	case ChargeRefunded:
		p.Status = Refunded
	case ChargeVoided:
		p.Status = Voided
	default:
		p.Status = Declined
	}
	return p
}

// Charge is the gateway's word on the payment's charge as far as this payment knows.
func (p Payment) Charge() Charge {
	status := map[Status]ChargeStatus{
		Charged: ChargeCaptured, Declined: ChargeDeclined, Refunded: ChargeRefunded, Voided: ChargeVoided,
	}[p.Status]
	return Charge{ID: p.ChargeID, Status: status, Reason: p.Reason, RefundID: p.RefundID}
}

// Refund takes a charged payment back. It reports false, and changes nothing, when there is no money to give back: the
// payment was declined, or refunded before.
func (p *Payment) Refund(refundID string, now time.Time) bool {
	if p.Status != Charged {
		return false
	}
	p.Status, p.RefundID, p.UpdatedAt = Refunded, refundID, now
	return true
}
