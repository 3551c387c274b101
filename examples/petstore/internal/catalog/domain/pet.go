// Package domain holds what a pet is and who may have it. It knows no database, no network and no clock.
package domain

import (
	"errors"
	"fmt"
	"time"
)

// Status is where a pet stands.
type Status string

// The ways in which a pet can stand.
const (
	Available Status = "available"
	Reserved  Status = "reserved"
	Sold      Status = "sold"
)

// Pet is one animal: there is exactly one of each.
type Pet struct {
	ID         string
	Name       string
	Category   string
	PriceCents int64
	Currency   string
	Status     Status
	// OrderID is the order that has the pet; empty while it is available.
	OrderID string
	// Version grows with each change.
	Version   int64
	UpdatedAt time.Time
}

// Refusals. They are final for the order that gets one.
var (
	ErrUnknown = errors.New("there is no such pet")
	ErrTaken   = errors.New("the pet is not available")
)

// Reserve keeps the pet for an order. Doing it again for the same order changes nothing. The error matches [ErrTaken].
func (p Pet) Reserve(orderID string, now time.Time) (_ Pet, changed bool, err error) {
	switch {
	case p.OrderID == orderID && p.Status != Available:
		return p, false, nil
	case p.Status != Available:
		return p, false, fmt.Errorf("%s is %s: %w", p.Name, p.Status, ErrTaken)
	}
	return p.become(Reserved, orderID, now), true, nil
}

// Release lets the order's pet go. A pet that the order does not have stays as it is: there is nothing to take back.
func (p Pet) Release(orderID string, now time.Time) (_ Pet, changed bool) {
	if p.OrderID != orderID || p.Status != Reserved {
		return p, false
	}
	return p.become(Available, "", now), true
}

// Sell ends the pet's stay in the shop. A pet that the order does not have reserved stays as it is.
func (p Pet) Sell(orderID string, now time.Time) (_ Pet, changed bool) {
	if p.OrderID != orderID || p.Status != Reserved {
		return p, false
	}
	return p.become(Sold, orderID, now), true
}

func (p Pet) become(s Status, orderID string, now time.Time) Pet {
	p.Status, p.OrderID, p.UpdatedAt = s, orderID, now
	p.Version++
	return p
}
