// Package app holds payment's use cases. Charging has two halves, because the gateway is asked over a network and the
// database of the embedded shop has one writer: [Payments.Charge] and [Payments.Refund] talk to the gateway, outside any transaction
// and repeatable under their key; [Payments.RecordCharge] and [Payments.RecordRefund] write down what the gateway said, in the
// transaction that also records the command and its reply. A crash between the halves repeats the first one, and the
// gateway gives the same answer.
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
	// ErrNotAsked says that the gateway was not even asked this time: its breaker was open or its bulkhead full. It comes
	// together with [ErrUnknown], since an earlier call may have had an effect.
	ErrNotAsked = errors.New("payment: the gateway was not asked")
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
	db      data.DB
	gateway Gateway
	store   Store
	events  Events
	topic   string
}

// New makes the use cases; topic is where payment's events go.
func New(db data.DB, gateway Gateway, store Store, events Events, topic string) *Payments {
	return &Payments{db: db, gateway: gateway, store: store, events: events, topic: topic}
}

// Charge finds out what becomes of the order's charge under the key: what the books already say, else what the gateway says.
// [ErrUnknown] means to ask again. With lastTry a gateway that was asked in vain is not asked again: the charge is taken back under
// the same key, so that no money is held and none can be later. Everything but a captured charge is written down here; a captured one is left
// to [Payments.RecordCharge].
func (p *Payments) Charge(ctx context.Context, key string, order domain.Order, lastTry bool) (domain.Charge, error) {
	known, err := p.store.Payment(ctx, p.db, order.ID)
	switch {
	case err == nil && known.ChargeKey != key:
		return domain.Charge{}, fmt.Errorf("%w: order %s was charged under another key", ErrBooksDiffer, order.ID)
	case err == nil:
		return known.Charge(), nil
	case !errors.Is(err, data.ErrNoRows):
		return domain.Charge{}, err
	}
	charge, err := p.gateway.Charge(ctx, key, order)
	if errors.Is(err, ErrUnknown) && lastTry && !errors.Is(err, ErrNotAsked) {
		charge, err = p.giveUp(ctx, key, err)
	}
	if err != nil || charge.Status == domain.ChargeCaptured {
		return charge, err
	}
	return charge, p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		_, err := p.RecordCharge(ctx, tx, key, order, charge)
		return err
	})
}

// giveUp makes an unknown outcome a known one.
func (p *Payments) giveUp(ctx context.Context, key string, unknown error) (domain.Charge, error) {
	reversed, err := p.gateway.Reverse(ctx, key)
	if err != nil {
		return domain.Charge{}, errors.Join(unknown, err)
	}
	if reversed.Status == domain.ChargeVoided { // to the customer this is a payment that did not work
		reversed.Status = domain.ChargeDeclined
	}
	if reversed.Reason == "" || reversed.Reason == string(domain.ChargeVoided) {
		reversed.Reason = "gateway_unreachable"
	}
	return reversed, nil
}

// RecordCharge writes down what became of a charge, in tx, with its event.
func (p *Payments) RecordCharge(ctx context.Context, tx data.Tx, key string, order domain.Order, charge domain.Charge) (domain.Payment, error) {
	payment := domain.NewPayment(order, key, charge, time.Now().UTC())
	return payment, p.save(ctx, tx, payment)
}

// Refund makes the gateway take back whatever became of the charge under the key and writes that down, also when the books
// knew nothing of the charge. It may be repeated; [ErrUnknown] means that it must be.
func (p *Payments) Refund(ctx context.Context, key string, order domain.Order) (domain.Charge, error) {
	reversed, err := p.gateway.Reverse(ctx, key)
	if err != nil || order.Validate() != nil { // what cannot be charged has no place in the books
		return reversed, err
	}
	return reversed, p.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		return p.RecordRefund(ctx, tx, key, order, reversed)
	})
}

// RecordRefund writes down a reversal, in tx, with its event. Repeating it changes nothing.
func (p *Payments) RecordRefund(ctx context.Context, tx data.Tx, key string, order domain.Order, reversed domain.Charge) error {
	now := time.Now().UTC()
	payment, err := p.store.Payment(ctx, tx, order.ID)
	switch {
	case errors.Is(err, data.ErrNoRows):
		return p.save(ctx, tx, domain.NewPayment(order, key, reversed, now))
	case err != nil:
		return err
	case payment.ChargeKey != key:
		return fmt.Errorf("%w: order %s was charged under another key than the one to be refunded", ErrBooksDiffer, order.ID)
	case payment.Status == domain.Charged && reversed.Status != domain.ChargeRefunded:
		return fmt.Errorf("%w: order %s is charged here and %s there", ErrBooksDiffer, order.ID, reversed.Status)
	}
	if !payment.Refund(reversed.RefundID, now) {
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
	if payment.Status == domain.Voided {
		return nil // nothing happened that anybody could want to know
	}
	return p.events.Write(ctx, tx, event(p.topic, payment))
}
