// Package domain holds what delivery knows: days with a number of slots, and deliveries that take one each. It is pure.
package domain

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"
)

// Priority says how soon an order wants to be delivered.
type Priority string

// The priorities. Normal is the default.
const (
	Normal  Priority = "normal"
	Express Priority = "express"
)

// ParsePriority reads a priority; empty means [Normal].
func ParsePriority(s string) (Priority, error) {
	switch p := Priority(s); p {
	case "":
		return Normal, nil
	case Normal, Express:
		return p, nil
	default:
		return "", fmt.Errorf("priority is %q: it must be normal or express", s)
	}
}

// Day is a day of deliveries, in UTC, as 2006-01-02.
type Day string

// Days lists the days on which an order placed now can be delivered, the best one first: express from tomorrow on, normal
// from the day after, over the horizon's number of days.
func Days(now time.Time, p Priority, horizon int) []Day {
	first := 2
	if p == Express {
		first = 1
	}
	days := make([]Day, 0, max(horizon, 0))
	for i := range horizon {
		days = append(days, Day(now.UTC().AddDate(0, 0, first+i).Format(time.DateOnly)))
	}
	return days
}

// Status is where a delivery stands. Cancelled is final.
type Status string

// The statuses.
const (
	Scheduled Status = "scheduled"
	Cancelled Status = "cancelled"
)

// Delivery is a slot of a day that one order holds. There is at most one per order.
type Delivery struct {
	ID         string
	OrderID    string
	CustomerID string
	PetID      string
	Priority   Priority
	Day        Day
	Status     Status
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// DeliveryID derives the delivery's id from the command's key, so that a repeated command gives the same id.
func DeliveryID(key string) string {
	sum := sha256.Sum256([]byte("delivery\x00" + key))
	return "del-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:20])
}

// Cancel gives the slot back. It reports false, and changes nothing, when that happened before.
func (d *Delivery) Cancel(now time.Time) bool {
	if d.Status != Scheduled {
		return false
	}
	d.Status, d.UpdatedAt = Cancelled, now
	return true
}
