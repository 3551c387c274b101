// Package app holds what the catalog does: show pets, keep one for an order, let it go, sell it.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// Pets is where pets are kept.
type Pets interface {
	// List returns the pets that f lets through, ordered by id.
	List(ctx context.Context, q data.Querier, f Filter) ([]domain.Pet, error)
	// Get returns one pet; the error matches domain.ErrUnknown.
	Get(ctx context.Context, q data.Querier, id string) (domain.Pet, error)
	// Lock is Get in a transaction that changes the pet: nobody else does so before it ends.
	Lock(ctx context.Context, tx data.Tx, id string) (domain.Pet, error)
	// LockOrder returns the pet that an order has; the error matches domain.ErrUnknown when it has none.
	LockOrder(ctx context.Context, tx data.Tx, orderID string) (domain.Pet, error)
	// Save writes a changed pet.
	Save(ctx context.Context, tx data.Tx, p domain.Pet) error
}

// Filter chooses pets; a zero field chooses all.
type Filter struct {
	Category, Status string
	// MaxPriceCents is the highest price, in cents.
	MaxPriceCents int64
}

// Publish writes events in the transaction of what they tell of.
type Publish func(ctx context.Context, tx data.Tx, events ...data.Event) error

// Event types.
const (
	PetReserved = "petstore.pet.reserved.v1"
	PetReleased = "petstore.pet.released.v1"
	PetSold     = "petstore.pet.sold.v1"
)

// PetEvent is the payload of all of them.
type PetEvent struct {
	PetID   string `json:"pet_id"`
	Status  string `json:"status"`
	OrderID string `json:"order_id"`
	Version int64  `json:"version"`
}

// Catalog carries out the catalog's use cases. Those that change something do so in the caller's transaction, so that whoever
// calls can commit it together with the note that the command was handled.
type Catalog struct {
	pets    Pets
	publish Publish
	now     func() time.Time
}

// New makes the catalog.
func New(pets Pets, publish Publish) *Catalog {
	return &Catalog{pets: pets, publish: publish, now: func() time.Time { return time.Now().UTC() }}
}

// Reserve keeps a pet for an order. The error matches domain.ErrUnknown or domain.ErrTaken.
func (c *Catalog) Reserve(ctx context.Context, tx data.Tx, cmd platform.ReservePet) (platform.PetReserved, error) {
	pet, err := c.pets.Lock(ctx, tx, cmd.PetID)
	if err != nil {
		return platform.PetReserved{}, err
	}
	pet, changed, err := pet.Reserve(cmd.OrderID, c.now())
	if err != nil {
		return platform.PetReserved{}, err
	}
	if changed {
		if err := c.save(ctx, tx, pet, PetReserved, cmd.OrderID); err != nil {
			return platform.PetReserved{}, err
		}
	}
	return platform.PetReserved{PetID: pet.ID, Name: pet.Name, PriceCents: pet.PriceCents, Currency: pet.Currency}, nil
}

// Release takes a reservation back. Without one it does nothing.
func (c *Catalog) Release(ctx context.Context, tx data.Tx, orderID string) error {
	return c.settle(ctx, tx, orderID, PetReleased, domain.Pet.Release)
}

// Sell marks the pet of an approved order as sold.
func (c *Catalog) Sell(ctx context.Context, tx data.Tx, orderID string) error {
	return c.settle(ctx, tx, orderID, PetSold, domain.Pet.Sell)
}

func (c *Catalog) settle(
	ctx context.Context, tx data.Tx, orderID, event string, change func(domain.Pet, string, time.Time) (domain.Pet, bool),
) error {
	pet, err := c.pets.LockOrder(ctx, tx, orderID)
	if errors.Is(err, domain.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	pet, changed := change(pet, orderID, c.now())
	if !changed {
		return nil
	}
	return c.save(ctx, tx, pet, event, orderID)
}

func (c *Catalog) save(ctx context.Context, tx data.Tx, pet domain.Pet, event, orderID string) error {
	if err := c.pets.Save(ctx, tx, pet); err != nil {
		return fmt.Errorf("catalog: save %s: %w", pet.ID, err)
	}
	return c.publish(ctx, tx, data.Event{
		Topic: platform.TopicPetEvents, Key: pet.ID, Type: event, Subject: pet.ID,
		Data: PetEvent{PetID: pet.ID, Status: string(pet.Status), OrderID: orderID, Version: pet.Version},
	})
}
