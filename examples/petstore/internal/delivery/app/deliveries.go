// Package app holds delivery's use cases: taking a slot and giving it back. Both run in the transaction that also records
// the command and its reply.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
)

// ErrNoSlots says that no day within the horizon has a slot left. Nothing was changed.
var ErrNoSlots = errors.New("delivery: no slot is free")

// Store keeps deliveries and counts the slots of each day.
type Store interface {
	// Delivery finds the delivery of an order; [data.ErrNoRows] when there is none.
	Delivery(ctx context.Context, q data.Querier, orderID string) (domain.Delivery, error)
	// TakeSlot takes one of a day's slots unless capacity of them are taken.
	TakeSlot(ctx context.Context, tx data.Tx, day domain.Day, capacity int) (taken bool, err error)
	// FreeSlot gives one back.
	FreeSlot(ctx context.Context, tx data.Tx, day domain.Day) error
	// Save writes d.
	Save(ctx context.Context, tx data.Tx, d domain.Delivery) error
}

// Events writes events in the transaction of what they tell about.
type Events interface {
	Write(ctx context.Context, tx data.Tx, events ...data.Event) error
}

// Config of Deliveries.
type Config struct {
	// Topic is where delivery's events go. Required.
	Topic string
	// Capacity tells how many deliveries fit into a day, asked for each order. Slots that are taken stay taken when it falls. Required.
	Capacity func() int
	// Full makes every day look full to a customer. Optional.
	Full func(ctx context.Context, customerID string) bool
	// Horizon is how many days ahead are looked at. Default 14.
	Horizon int
	// Now tells the time, and so which day it is. Default time.Now.
	Now func() time.Time
}

// Request is an order that wants to be delivered.
type Request struct {
	OrderID, CustomerID, PetID string
	Priority                   domain.Priority
}

// Deliveries are the use cases. It is safe for concurrent use.
type Deliveries struct {
	cfg    Config
	store  Store
	events Events
}

// New makes the use cases.
func New(cfg Config, store Store, events Events) (*Deliveries, error) {
	if cfg.Horizon == 0 {
		cfg.Horizon = 14
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Topic == "" || cfg.Capacity == nil || cfg.Horizon < 0 {
		return nil, errors.New("delivery: invalid Config: Topic and Capacity are required, Horizon must be positive")
	}
	return &Deliveries{cfg: cfg, store: store, events: events}, nil
}

// Schedule takes the first free slot that suits the order, in tx. [ErrNoSlots] when there is none.
func (d *Deliveries) Schedule(ctx context.Context, tx data.Tx, key string, r Request) (domain.Delivery, error) {
	now, capacity := d.cfg.Now().UTC(), d.cfg.Capacity()
	if d.cfg.Full != nil && d.cfg.Full(ctx, r.CustomerID) {
		capacity = 0
	}
	for _, day := range domain.Days(now, r.Priority, d.cfg.Horizon) {
		taken, err := d.store.TakeSlot(ctx, tx, day, capacity)
		if err != nil {
			return domain.Delivery{}, err
		}
		if !taken {
			continue
		}
		delivery := domain.Delivery{
			ID: domain.DeliveryID(key), OrderID: r.OrderID, CustomerID: r.CustomerID, PetID: r.PetID, Priority: r.Priority,
			Day: day, Status: domain.Scheduled, CreatedAt: now, UpdatedAt: now,
		}
		return delivery, d.save(ctx, tx, delivery)
	}
	return domain.Delivery{}, fmt.Errorf("%w within %d days", ErrNoSlots, d.cfg.Horizon)
}

// Cancel gives the order's slot back, in tx. An order without a delivery, or whose delivery was cancelled before, is fine:
// there is nothing to give back.
func (d *Deliveries) Cancel(ctx context.Context, tx data.Tx, orderID string) error {
	delivery, err := d.store.Delivery(ctx, tx, orderID)
	if errors.Is(err, data.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if !delivery.Cancel(d.cfg.Now().UTC()) {
		return nil
	}
	if err := d.store.FreeSlot(ctx, tx, delivery.Day); err != nil {
		return err
	}
	return d.save(ctx, tx, delivery)
}

func (d *Deliveries) save(ctx context.Context, tx data.Tx, delivery domain.Delivery) error {
	if err := d.store.Save(ctx, tx, delivery); err != nil {
		return err
	}
	return d.events.Write(ctx, tx, event(d.cfg.Topic, delivery))
}

// Event is the payload of delivery's events: petstore.delivery.scheduled.v1 and .cancelled.v1.
type Event struct {
	DeliveryID string `json:"delivery_id"`
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	PetID      string `json:"pet_id"`
	Slot       string `json:"slot"`
	Status     string `json:"status"`
}

// event tells that the delivery reached its status. Its id follows from both, so a status is told once.
func event(topic string, d domain.Delivery) data.Event {
	return data.Event{
		ID: d.ID + "." + string(d.Status), Topic: topic, Key: d.OrderID, Subject: d.OrderID, Time: d.UpdatedAt,
		Type: "petstore.delivery." + string(d.Status) + ".v1",
		Data: Event{
			DeliveryID: d.ID, OrderID: d.OrderID, CustomerID: d.CustomerID, PetID: d.PetID, Slot: string(d.Day), Status: string(d.Status),
		},
	}
}
