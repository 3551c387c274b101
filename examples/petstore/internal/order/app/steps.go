package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/saga"
)

// Store is where orders and their events are kept.
type Store interface {
	// Append writes the event and the order that it leads to.
	Append(ctx context.Context, tx data.Tx, after domain.Order, e domain.Event) error
	// Get returns an order; the error matches data.ErrNoRows.
	Get(ctx context.Context, q data.Querier, id string) (domain.Order, error)
	// List returns a customer's orders, the newest first.
	List(ctx context.Context, q data.Querier, customerID string, limit int) ([]domain.Order, error)
	// CountOpen counts a customer's orders that have not ended.
	CountOpen(ctx context.Context, q data.Querier, customerID string) (int, error)
	// Events returns an order's events in order.
	Events(ctx context.Context, q data.Querier, id string) ([]domain.Event, error)
}

// Publish writes events in the transaction of what they tell of.
type Publish func(ctx context.Context, tx data.Tx, events ...data.Event) error

// Steps are the saga's steps on the order's own rows. Each runs in the transaction that records it, so it happens exactly once,
// and only the saga changes an order, so nobody writes the row in between.
type Steps struct {
	store   Store
	publish Publish
	taxRate func() float64
	now     func() time.Time
}

// NewSteps makes the steps; taxRate is asked for each order.
func NewSteps(store Store, publish Publish, taxRate func() float64) *Steps {
	// Databases keep microseconds.
	return &Steps{store: store, publish: publish, taxRate: taxRate, now: func() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }}
}

// Create writes the order down.
func (s *Steps) Create(c saga.Ctx, tx data.Tx, p Purchase) (Quote, error) {
	created := domain.Created{
		CustomerID: p.CustomerID, PetID: p.PetID, PaymentMethod: p.PaymentMethod, Priority: p.Priority,
		SpecialInstructions: p.SpecialInstructions,
	}
	err := s.append(c, tx, domain.Order{}, domain.Event{OrderID: p.OrderID, Created: &created})
	return Quote{TaxBasis: domain.TaxBasis(s.taxRate())}, err
}

// Cancel is the compensation of Create: the order stays, cancelled.
func (s *Steps) Cancel(c saga.Ctx, tx data.Tx, p Purchase, _ Quote) error {
	order, err := s.store.Get(c, tx, p.OrderID)
	if errors.Is(err, data.ErrNoRows) {
		return nil // it was never created
	}
	if err != nil {
		return err
	}
	if err := s.append(c, tx, order, domain.Event{OrderID: p.OrderID, Cancelled: &domain.Cancellation{}}); err != nil {
		return err
	}
	return s.publish(c, tx, CancelledEvent(p))
}

// Confirm approves the order.
func (s *Steps) Confirm(c saga.Ctx, tx data.Tx, p Purchase) (saga.None, error) {
	order, err := s.store.Get(c, tx, p.OrderID)
	if err != nil {
		return saga.None{}, err
	}
	return saga.None{}, s.append(c, tx, order, domain.Event{OrderID: p.OrderID, Approval: &domain.Approval{
		PetName: p.PetName, AmountCents: p.AmountCents, Currency: p.Currency,
		PaymentID: p.PaymentID, DeliveryID: p.DeliveryID, DeliverySlot: p.Slot,
	}})
}

func (s *Steps) append(ctx context.Context, tx data.Tx, before domain.Order, e domain.Event) error {
	e.Version, e.At = before.Version+1, s.now()
	after, err := before.Apply(e)
	if err != nil {
		return err
	}
	if err := s.store.Append(ctx, tx, after, e); err != nil {
		return fmt.Errorf("order: append event %d of %s: %w", e.Version, e.OrderID, err)
	}
	return nil
}
