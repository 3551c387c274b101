// Package app holds payment's use cases. Each of them has two halves, because the gateway is asked over a network and the
// database of the embedded shop has one writer: [Payments.Charge] and [Payments.Reverse] talk to the gateway, outside any
// transaction and repeatable under their key; [Payments.RecordCharge] and [Payments.RecordRefund] write down what the gateway said,
// in the transaction that also records the command and its reply. A crash between the halves repeats the first one, and
// the gateway gives the same answer.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
)

var (
	// ErrUnknown says that the gateway did not tell what became of a charge or of its reversal: it may have happened. Ask
	// again under the same key.
	ErrUnknown = errors.New("payment: the gateway did not answer; what became of the charge is unknown")
	// ErrBooksDiffer says that the gateway's book contradicts ours. Nothing was written; somebody has to look.
	ErrBooksDiffer = errors.New("payment: the gateway's book and ours differ")
)

// Gateway is the payment provider. Both methods may be repeated under the same key without a further effect; an error
// that matches [ErrUnknown] says that the effect may have happened.
type Gateway interface {
	// Charge charges the order's customer once per key.
	Charge(ctx context.Context, key string, order domain.Order) (domain.Charge, error)
	// Reverse takes back whatever became of the key: it refunds a captured charge once, and voids a key that was never
	// charged, so that no charge can happen under it later.
	Reverse(ctx context.Context, key string) (domain.Charge, error)
}

// Store keeps payments and their ledger.
type Store interface {
	// Payment finds the payment of an order; [data.ErrNoRows] when there is none.
	Payment(ctx context.Context, q data.Querier, orderID string) (domain.Payment, error)
	// Save writes p and those of the postings that are not in the ledger yet.
	Save(ctx context.Context, tx data.Tx, p domain.Payment, postings []domain.Posting) error
}

// Events writes events in the transaction of what they tell about.
type Events interface {
	Write(ctx context.Context, tx data.Tx, events ...data.Event) error
}

// Payments are the use cases. It is safe for concurrent use.
type Payments struct {
	gateway Gateway
	store   Store
	events  Events
	topic   string
	now     func() time.Time
}

// New makes the use cases; topic is where payment's events go.
func New(gateway Gateway, store Store, events Events, topic string) *Payments {
	return &Payments{gateway: gateway, store: store, events: events, topic: topic, now: func() time.Time { return time.Now().UTC() }}
}

// Charge asks the gateway to charge the order under the key. While the outcome is unknown it returns [ErrUnknown], to be
// asked again, until giveUp; from then on it takes the charge back under the same key. When that succeeds the outcome is
// known after all: no money is held, and none can be later.
func (p *Payments) Charge(ctx context.Context, key string, order domain.Order, giveUp time.Time) (domain.Charge, error) {
	charge, err := p.gateway.Charge(ctx, key, order)
	if err == nil || !errors.Is(err, ErrUnknown) || p.now().Before(giveUp) || ctx.Err() != nil {
		return charge, err
	}
	reversed, undoErr := p.gateway.Reverse(ctx, key)
	if undoErr != nil {
		return domain.Charge{}, errors.Join(err, undoErr)
	}
	if reversed.Status != domain.ChargeDeclined {
		reversed.Reason = "gateway_unreachable"
	}
	return reversed, nil
}

// RecordCharge writes down what became of a charge, in tx, with its event.
func (p *Payments) RecordCharge(ctx context.Context, tx data.Tx, key string, order domain.Order, charge domain.Charge) (domain.Payment, error) {
	payment := domain.NewPayment(order, key, charge, p.now())
	return payment, p.save(ctx, tx, payment)
}

// Reverse asks the gateway to take back whatever became of the charge under chargeKey.
func (p *Payments) Reverse(ctx context.Context, chargeKey string) (domain.Charge, error) {
	return p.gateway.Reverse(ctx, chargeKey)
}

// RecordRefund writes down a reversal, in tx, with its event. A payment that the books do not know is written down when money
// did move, so that both books agree; when none did, nothing is written. Repeating it changes nothing.
func (p *Payments) RecordRefund(ctx context.Context, tx data.Tx, chargeKey string, order domain.Order, reversed domain.Charge) error {
	payment, err := p.store.Payment(ctx, tx, order.ID)
	switch {
	case errors.Is(err, data.ErrNoRows):
		if reversed.Status != domain.ChargeRefunded {
			return nil // never charged: nothing to take back
		}
		return p.save(ctx, tx, domain.NewPayment(order, chargeKey, reversed, p.now()))
	case err != nil:
		return err
	case payment.ChargeKey != chargeKey:
		return fmt.Errorf("%w: order %s was charged under another key than the one to be refunded", ErrBooksDiffer, order.ID)
	case payment.Status == domain.Charged && reversed.Status != domain.ChargeRefunded:
		return fmt.Errorf("%w: order %s is charged here and %s there", ErrBooksDiffer, order.ID, reversed.Status)
	}
	if !payment.Refund(reversed.RefundID, p.now()) {
		return nil
	}
	return p.save(ctx, tx, payment)
}

// save writes the payment, what the books say about it, and the event of its status.
func (p *Payments) save(ctx context.Context, tx data.Tx, payment domain.Payment) error {
	postings := domain.Postings(payment)
	for _, posting := range postings {
		if err := posting.Check(); err != nil {
			return fmt.Errorf("payment: %w", err)
		}
	}
	if err := p.store.Save(ctx, tx, payment, postings); err != nil {
		return err
	}
	return p.events.Write(ctx, tx, event(p.topic, payment))
}
