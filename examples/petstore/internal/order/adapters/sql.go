// Package adapters connects the order service to its database and to the catalog.
package adapters

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/observability"
)

// SQL is app.Store on SQLite and Postgres.
type SQL struct{}

const orderColumns = `select id, customer_id, pet_id, payment_method, priority, special_instructions, state, pet_name, amount_cents, currency,
	payment_id, delivery_id, delivery_slot, version, created_at, updated_at from orders`

// Append writes the event, whose number only one writer gets, and the order that it leads to.
func (SQL) Append(ctx context.Context, tx data.Tx, o domain.Order, e domain.Event) error {
	kind, body, err := encode(e)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `insert into order_events (order_id, version, type, data, correlation_id, at) values ($1, $2, $3, $4, $5, $6)`,
		e.OrderID, e.Version, kind, string(body), observability.CorrelationID(ctx), e.At.UnixMicro()); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into orders (id, customer_id, pet_id, payment_method, priority, special_instructions, state, pet_name,
		amount_cents, currency, payment_id, delivery_id, delivery_slot, version, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
		on conflict (id) do update set state = excluded.state, pet_name = excluded.pet_name, amount_cents = excluded.amount_cents,
		currency = excluded.currency, payment_id = excluded.payment_id, delivery_id = excluded.delivery_id,
		delivery_slot = excluded.delivery_slot, version = excluded.version, updated_at = excluded.updated_at`,
		o.ID, o.CustomerID, o.PetID, o.PaymentMethod, o.Priority, o.SpecialInstructions, string(o.State), o.PetName,
		o.AmountCents, o.Currency, o.PaymentID, o.DeliveryID, o.DeliverySlot, o.Version, o.CreatedAt.UnixMicro(), o.UpdatedAt.UnixMicro())
	return err
}

// Get returns an order; the error matches data.ErrNoRows.
func (SQL) Get(ctx context.Context, q data.Querier, id string) (domain.Order, error) {
	return scanOrder(q.QueryRow(ctx, orderColumns+` where id = $1`, id))
}

// List returns a customer's orders, the newest first.
func (SQL) List(ctx context.Context, q data.Querier, customerID string, limit int) ([]domain.Order, error) {
	rows, err := q.Query(ctx, orderColumns+` where customer_id = $1 order by created_at desc, id limit $2`, customerID, limit)
	if err != nil {
		return nil, fmt.Errorf("order: list: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var orders []domain.Order
	for rows.Next() {
		o, err := scanOrder(rows)
		if err != nil {
			return nil, err
		}
		orders = append(orders, o)
	}
	return orders, rows.Err()
}

// CountOpen counts a customer's orders that have not ended.
func (SQL) CountOpen(ctx context.Context, q data.Querier, customerID string) (n int, err error) {
	err = q.QueryRow(ctx, `select count(*) from orders where customer_id = $1 and state = 'placed'`, customerID).Scan(&n)
	return n, err
}

// Events returns an order's events in order.
func (SQL) Events(ctx context.Context, q data.Querier, id string) ([]domain.Event, error) {
	rows, err := q.Query(ctx, `select version, type, data, at from order_events where order_id = $1 order by version`, id)
	if err != nil {
		return nil, fmt.Errorf("order: events of %s: %w", id, err)
	}
	defer func() { _ = rows.Close() }()
	var events []domain.Event
	for rows.Next() {
		var kind, body string
		var at int64
		e := domain.Event{OrderID: id}
		if err := rows.Scan(&e.Version, &kind, &body, &at); err != nil {
			return nil, err
		}
		e.At = time.UnixMicro(at).UTC()
		if err := decode(&e, kind, []byte(body)); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

func scanOrder(row data.Row) (domain.Order, error) {
	var o domain.Order
	var state string
	var created, updated int64
	err := row.Scan(&o.ID, &o.CustomerID, &o.PetID, &o.PaymentMethod, &o.Priority, &o.SpecialInstructions, &state, &o.PetName,
		&o.AmountCents, &o.Currency, &o.PaymentID, &o.DeliveryID, &o.DeliverySlot, &o.Version, &created, &updated)
	if err != nil {
		return o, fmt.Errorf("order: read: %w", err)
	}
	o.State, o.CreatedAt, o.UpdatedAt = domain.State(state), time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return o, nil
}

// Names of event types in the table.
const (
	created   = "created"
	approved  = "approved"
	cancelled = "cancelled"
)

func encode(e domain.Event) (kind string, body []byte, err error) {
	switch {
	case e.Created != nil:
		kind = created
		body, err = json.Marshal(e.Created)
	case e.Approval != nil:
		kind = approved
		body, err = json.Marshal(e.Approval)
	case e.Cancelled != nil:
		kind = cancelled
		body, err = json.Marshal(e.Cancelled)
	default:
		err = fmt.Errorf("order: event %d of %s says nothing", e.Version, e.OrderID)
	}
	return kind, body, err
}

func decode(e *domain.Event, kind string, body []byte) error {
	var err error
	switch kind {
	case created:
		err = json.Unmarshal(body, &e.Created)
	case approved:
		err = json.Unmarshal(body, &e.Approval)
	case cancelled:
		err = json.Unmarshal(body, &e.Cancelled)
	default:
		err = fmt.Errorf("unknown type %q", kind)
	}
	if err != nil {
		return fmt.Errorf("order: event %d of %s: %w", e.Version, e.OrderID, err)
	}
	return nil
}
