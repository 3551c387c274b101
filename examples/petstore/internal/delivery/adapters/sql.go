// Package adapters connects delivery's use cases to SQL.
package adapters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
)

// SQL keeps deliveries and slots in tables of the service's own database. The zero value works.
type SQL struct{}

// Delivery finds the delivery of an order; [data.ErrNoRows] when there is none.
func (SQL) Delivery(ctx context.Context, q data.Querier, orderID string) (domain.Delivery, error) {
	var d domain.Delivery
	var priority, day, status string
	var created, updated int64
	err := q.QueryRow(ctx, `select order_id, id, customer_id, pet_id, priority, day, status, created_at, updated_at
		from deliveries where order_id = $1`, orderID).
		Scan(&d.OrderID, &d.ID, &d.CustomerID, &d.PetID, &priority, &day, &status, &created, &updated)
	if err != nil {
		return domain.Delivery{}, fmt.Errorf("delivery: of order %s: %w", orderID, err)
	}
	d.Priority, d.Day, d.Status = domain.Priority(priority), domain.Day(day), domain.Status(status)
	d.CreatedAt, d.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return d, nil
}

// TakeSlot counts and takes in one statement, so two orders never share the last slot.
func (SQL) TakeSlot(ctx context.Context, tx data.Tx, day domain.Day, capacity int) (bool, error) {
	if capacity <= 0 {
		return false, nil
	}
	n, err := tx.Exec(ctx, `insert into slots (day, taken) values ($1, 1)
		on conflict (day) do update set taken = slots.taken + 1 where slots.taken < $2`, string(day), capacity)
	if err != nil {
		return false, fmt.Errorf("delivery: take a slot on %s: %w", day, err)
	}
	return n == 1, nil
}

// FreeSlot gives one slot of the day back.
func (SQL) FreeSlot(ctx context.Context, tx data.Tx, day domain.Day) error {
	n, err := tx.Exec(ctx, "update slots set taken = taken - 1 where day = $1", string(day))
	if err == nil && n != 1 {
		err = errors.New("no slot was ever taken on that day")
	}
	if err != nil {
		return fmt.Errorf("delivery: free a slot on %s: %w", day, err)
	}
	return nil
}

// Save writes d. A second delivery of an order, under another id, is refused.
func (SQL) Save(ctx context.Context, tx data.Tx, d domain.Delivery) error {
	n, err := tx.Exec(ctx, `insert into deliveries (order_id, id, customer_id, pet_id, priority, day, status, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (order_id) do update set status = excluded.status, updated_at = excluded.updated_at
		where deliveries.id = excluded.id`,
		d.OrderID, d.ID, d.CustomerID, d.PetID, string(d.Priority), string(d.Day), string(d.Status),
		d.CreatedAt.UnixMicro(), d.UpdatedAt.UnixMicro())
	if err == nil && n != 1 {
		err = errors.New("the order has another delivery already")
	}
	if err != nil {
		return fmt.Errorf("delivery: save %s of order %s: %w", d.ID, d.OrderID, err)
	}
	return nil
}
