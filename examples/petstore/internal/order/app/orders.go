package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/saga"
)

// Refusals of a request.
var (
	// ErrKeyReused says that the idempotency key belongs to another order of this customer.
	ErrKeyReused = errors.New("the idempotency key was used for another order")
	// ErrTooMany says that the customer has too many open orders.
	ErrTooMany = errors.New("too many open orders")
	// ErrClosed says that no payments are taken at the moment.
	ErrClosed = errors.New("payments are switched off")
	// ErrNoPet says that the catalog has no such pet.
	ErrNoPet = errors.New("there is no such pet")
	// ErrNotFound says that there is no such order, or that it is not the caller's.
	ErrNotFound = errors.New("there is no such order")
)

// Catalog tells whether a pet exists. It may fail: then the saga finds out.
type Catalog interface {
	Exists(ctx context.Context, petID string) (bool, error)
}

// Orders takes orders and answers questions about them.
type Orders struct {
	DB      data.DB
	Store   Store
	Engine  *saga.Engine
	Saga    *saga.Def[Purchase]
	Catalog Catalog
	// Paying says whether a customer can pay at the moment. Nil: always.
	Paying func(ctx context.Context, customerID string) bool
	// MaxOpen bounds a customer's open orders; 0: no bound.
	MaxOpen func() int
}

// Place starts the purchase. The same request under the same key is the same order, and existed says so. When it returns nil the
// purchase is durable and will be carried out or taken back. Errors match ErrKeyReused, ErrClosed, ErrTooMany or ErrNoPet.
func (o *Orders) Place(ctx context.Context, key string, p Purchase) (id string, existed bool, err error) {
	p.OrderID = domain.ID(p.CustomerID, key)
	if err := o.admit(ctx, p); err != nil {
		return "", false, err
	}
	run, err := o.Saga.Start(ctx, o.Engine, saga.ID(p.OrderID), p)
	if errors.Is(err, saga.ErrConflict) {
		return "", false, fmt.Errorf("%w: %w", ErrKeyReused, err)
	}
	if err != nil {
		return "", false, err
	}
	return p.OrderID, run.Existed, nil
}

// admit checks what a new order must meet; a repeated request is admitted as it is.
func (o *Orders) admit(ctx context.Context, p Purchase) error {
	if _, err := o.Engine.Status(ctx, saga.ID(p.OrderID)); !errors.Is(err, saga.ErrNotFound) {
		return err
	}
	if o.Paying != nil && !o.Paying(ctx, p.CustomerID) {
		return ErrClosed
	}
	if limit := o.MaxOpen(); limit > 0 {
		open, err := o.Store.CountOpen(ctx, o.DB, p.CustomerID)
		if err != nil {
			return err
		}
		if open >= limit {
			return fmt.Errorf("%w: %d of %d", ErrTooMany, open, limit)
		}
	}
	// A catalog that does not answer keeps nobody from ordering: reserving the pet will wait for it.
	if exists, err := o.Catalog.Exists(ctx, p.PetID); err == nil && !exists {
		return fmt.Errorf("%w: %q", ErrNoPet, p.PetID)
	}
	return nil
}

// Viewer is who asks.
type Viewer struct {
	CustomerID string
	Admin      bool
}

// Order returns an order and its saga. An order of somebody else is not found, so that ids tell nothing.
func (o *Orders) Order(ctx context.Context, who Viewer, id string) (domain.Order, saga.Status, error) {
	status, err := o.Engine.Status(ctx, saga.ID(id))
	if errors.Is(err, saga.ErrNotFound) {
		return domain.Order{}, status, ErrNotFound
	}
	if err != nil {
		return domain.Order{}, status, err
	}
	order, err := o.Store.Get(ctx, o.DB, id)
	if errors.Is(err, data.ErrNoRows) {
		// The first step has not run yet: what is known is the request.
		order, err = o.requested(ctx, id, status)
	}
	if err != nil {
		return domain.Order{}, status, err
	}
	if !who.Admin && order.CustomerID != who.CustomerID {
		return domain.Order{}, saga.Status{}, ErrNotFound
	}
	return order, status, nil
}

func (o *Orders) requested(ctx context.Context, id string, status saga.Status) (domain.Order, error) {
	records, err := o.Engine.History(ctx, saga.ID(id))
	if err != nil {
		return domain.Order{}, err
	}
	var p Purchase
	if err := json.Unmarshal(records[0].Payload, &p); err != nil {
		return domain.Order{}, fmt.Errorf("order: read the request of %s: %w", id, err)
	}
	state := domain.Placed
	if status.State == saga.State(saga.Compensated) || status.State == saga.State(saga.TerminatedByHand) {
		state = domain.Cancelled // before anything was written
	}
	return domain.Order{
		ID: id, CustomerID: p.CustomerID, PetID: p.PetID, PaymentMethod: p.PaymentMethod, Priority: p.Priority,
		SpecialInstructions: p.SpecialInstructions, State: state, CreatedAt: status.Started, UpdatedAt: status.Started,
	}, nil
}

// Cancel asks for the order to be taken back. Errors match ErrNotFound, saga.ErrPastPivot or saga.ErrFinished.
func (o *Orders) Cancel(ctx context.Context, who Viewer, id, reason string) error {
	if _, _, err := o.Order(ctx, who, id); err != nil {
		return err
	}
	return o.Engine.Cancel(ctx, saga.ID(id), who.CustomerID, reason)
}
