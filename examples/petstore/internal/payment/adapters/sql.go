// Package adapters connects payment's use cases to SQL and to the gateway's HTTP API.
package adapters

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
)

// SQL keeps payments and ledger in tables of the service's own database. The zero value works.
type SQL struct{}

// Payment finds the payment of an order; [data.ErrNoRows] when there is none.
func (SQL) Payment(ctx context.Context, q data.Querier, orderID string) (domain.Payment, error) {
	var p domain.Payment
	var status string
	var created, updated int64
	err := q.QueryRow(ctx, `select order_id, id, customer_id, amount_cents, currency, payment_method, status, reason, charge_key,
		charge_id, refund_id, created_at, updated_at from payments where order_id = $1`, orderID).
		Scan(&p.OrderID, &p.ID, &p.CustomerID, &p.Amount.Cents, &p.Amount.Currency, &p.Method, &status, &p.Reason, &p.ChargeKey,
			&p.ChargeID, &p.RefundID, &created, &updated)
	if err != nil {
		return domain.Payment{}, fmt.Errorf("payment: of order %s: %w", orderID, err)
	}
	p.Status, p.CreatedAt, p.UpdatedAt = domain.Status(status), time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
	return p, nil
}

// Save writes p and those of the postings that are not in the ledger yet.
func (SQL) Save(ctx context.Context, tx data.Tx, p domain.Payment, postings []domain.Posting) error {
	// A second payment of an order, under another key, is a violated constraint and not an update.
	n, err := tx.Exec(ctx, `insert into payments (order_id, id, customer_id, amount_cents, currency, payment_method, status, reason,
		charge_key, charge_id, refund_id, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		on conflict (order_id) do update set status = excluded.status, reason = excluded.reason, refund_id = excluded.refund_id,
			updated_at = excluded.updated_at
		where payments.id = excluded.id`,
		p.OrderID, p.ID, p.CustomerID, p.Amount.Cents, p.Amount.Currency, p.Method, string(p.Status), p.Reason,
		p.ChargeKey, p.ChargeID, p.RefundID, p.CreatedAt.UnixMicro(), p.UpdatedAt.UnixMicro())
	if err != nil {
		return fmt.Errorf("payment: save %s: %w", p.ID, err)
	}
	if n == 0 {
		return fmt.Errorf("payment: order %s has another payment already: one order pays once", p.OrderID)
	}
	for _, posting := range postings {
		for line, e := range posting.Entries {
			_, err := tx.Exec(ctx, `insert into ledger_entries (posting, line, order_id, account, amount_cents, currency, created_at)
				values ($1, $2, $3, $4, $5, $6, $7) on conflict (posting, line) do nothing`,
				e.Posting, line, e.OrderID, string(e.Account), e.Amount.Cents, e.Amount.Currency, p.UpdatedAt.UnixMicro())
			if err != nil {
				return fmt.Errorf("payment: post %s: %w", posting.ID, err)
			}
		}
	}
	return nil
}

// Ledger reads the entries of an order in the order in which they were posted.
func (SQL) Ledger(ctx context.Context, q data.Querier, orderID string) (_ []domain.Entry, err error) {
	rows, err := q.Query(ctx, `select posting, order_id, account, amount_cents, currency from ledger_entries
		where order_id = $1 order by created_at, posting, line`, orderID)
	if err != nil {
		return nil, fmt.Errorf("payment: ledger of order %s: %w", orderID, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var entries []domain.Entry
	for rows.Next() {
		var e domain.Entry
		var account string
		if err := rows.Scan(&e.Posting, &e.OrderID, &account, &e.Amount.Cents, &e.Amount.Currency); err != nil {
			return nil, err
		}
		e.Account = domain.Account(account)
		entries = append(entries, e)
	}
	return entries, rows.Err()
}
