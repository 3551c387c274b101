// Package adapters keeps pets in SQL.
package adapters

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
)

// SQL is app.Pets on SQLite and Postgres.
type SQL struct{}

const columns = `select id, name, category, price_cents, currency, status, coalesce(order_id, ''), version, updated_at from pets`

// List returns the pets that f lets through, ordered by id.
func (SQL) List(ctx context.Context, q data.Querier, f app.Filter) ([]domain.Pet, error) {
	rows, err := q.Query(ctx, columns+` where ($1 = '' or category = $1) and ($2 = '' or status = $2)
		and price_cents <= $3 order by id`, f.Category, f.Status, cmp.Or(f.MaxPriceCents, math.MaxInt64))
	if err != nil {
		return nil, fmt.Errorf("catalog: list pets: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var pets []domain.Pet
	for rows.Next() {
		p, err := scan(rows)
		if err != nil {
			return nil, err
		}
		pets = append(pets, p)
	}
	return pets, rows.Err()
}

// Get returns one pet.
func (SQL) Get(ctx context.Context, q data.Querier, id string) (domain.Pet, error) {
	return scan(q.QueryRow(ctx, columns+` where id = $1`, id))
}

// Lock returns a pet that the transaction is going to change.
func (SQL) Lock(ctx context.Context, tx data.Tx, id string) (domain.Pet, error) {
	return scan(tx.QueryRow(ctx, columns+` where id = $1`+forUpdate(tx), id))
}

// LockOrder returns the pet of an order.
func (SQL) LockOrder(ctx context.Context, tx data.Tx, orderID string) (domain.Pet, error) {
	return scan(tx.QueryRow(ctx, columns+` where order_id = $1`+forUpdate(tx), orderID))
}

// Save writes a changed pet.
func (SQL) Save(ctx context.Context, tx data.Tx, p domain.Pet) error {
	var order any
	if p.OrderID != "" {
		order = p.OrderID
	}
	_, err := tx.Exec(ctx, `update pets set status = $1, order_id = $2, version = $3, updated_at = $4 where id = $5`,
		string(p.Status), order, p.Version, p.UpdatedAt.UnixMicro(), p.ID)
	return err
}

// forUpdate locks the row on Postgres; on SQLite the transaction is the only writer anyway.
func forUpdate(q data.Querier) string {
	if q.Dialect() == data.Postgres {
		return ` for update`
	}
	return ""
}

func scan(row data.Row) (domain.Pet, error) {
	var p domain.Pet
	var status string
	var updated int64
	err := row.Scan(&p.ID, &p.Name, &p.Category, &p.PriceCents, &p.Currency, &status, &p.OrderID, &p.Version, &updated)
	if errors.Is(err, data.ErrNoRows) {
		return p, domain.ErrUnknown
	}
	if err != nil {
		return p, fmt.Errorf("catalog: read a pet: %w", err)
	}
	p.Status, p.UpdatedAt = domain.Status(status), time.UnixMicro(updated).UTC()
	return p, nil
}
