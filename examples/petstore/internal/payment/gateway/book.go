package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/marty-framework/mmf/data"
)

// Charge is one line of the gateway's book, as it is told to clients.
type Charge struct {
	ID            string `json:"id"`
	Key           string `json:"charge_key"`
	Status        string `json:"status"` // captured, declined, refunded, voided
	Reason        string `json:"reason,omitempty"`
	AmountCents   int64  `json:"amount_cents"`
	Currency      string `json:"currency"`
	PaymentMethod string `json:"payment_method"`
	Reference     string `json:"reference"`
	RefundID      string `json:"refund_id,omitempty"`
	// Attempts is how often the charge was asked for under this key; it happened once at most.
	Attempts int64 `json:"attempts"`
}

const (
	captured = "captured"
	declined = "declined"
	refunded = "refunded"
	voided   = "voided"
)

var errKeyReused = errors.New("gateway: the key was used for another charge")

// book is the gateway's own table. Every method is one transaction.
type book struct{ db data.DB }

// charge carries out c under its key, or declines it when c has a Reason, or finds what an earlier attempt under that key led to. first
// says that this attempt is the one that made the charge happen.
func (b book) charge(ctx context.Context, c Charge) (_ Charge, first bool, err error) {
	now := time.Now().UnixMicro()
	c.ID = newID("ch_")
	c.Status = captured
	if c.Reason != "" {
		c.Status = declined
	}
	found := c
	err = b.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		n, err := tx.Exec(ctx, `insert into gateway_charges (charge_key, id, status, reason, amount_cents, currency, payment_method,
			reference, refund_id, attempts, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, '', 0, $9, $9)
			on conflict (charge_key) do nothing`,
			c.Key, c.ID, c.Status, c.Reason, c.AmountCents, c.Currency, c.PaymentMethod, c.Reference, now)
		if err != nil {
			return err
		}
		first = n == 1
		if _, err := tx.Exec(ctx, "update gateway_charges set attempts = attempts + 1 where charge_key = $1", c.Key); err != nil {
			return err
		}
		found, err = scanCharge(tx.QueryRow(ctx, selectCharge+" where charge_key = $1", c.Key))
		if err != nil {
			return err
		}
		// A voided key was never charged, so there is nothing that the request could differ from.
		if found.Status != voided && (found.AmountCents != c.AmountCents || found.Currency != c.Currency ||
			found.PaymentMethod != c.PaymentMethod || found.Reference != c.Reference) {
			return errKeyReused
		}
		return nil
	})
	return found, first, err
}

// reverse takes back whatever became of a key. It may be repeated: money goes back once.
func (b book) reverse(ctx context.Context, key string) (found Charge, err error) {
	now := time.Now().UnixMicro()
	err = b.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, `insert into gateway_charges (charge_key, id, status, reason, amount_cents, currency, payment_method,
			reference, refund_id, attempts, created_at, updated_at) values ($1, $2, 'voided', 'voided', 0, '', '', '', '', 0, $3, $3)
			on conflict (charge_key) do nothing`, key, newID("ch_"), now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update gateway_charges set status = 'refunded', refund_id = $2, updated_at = $3
			where charge_key = $1 and status = 'captured'`, key, newID("re_"), now)
		if err != nil {
			return err
		}
		found, err = scanCharge(tx.QueryRow(ctx, selectCharge+" where charge_key = $1", key))
		return err
	})
	return found, err
}

// byReference lists the charges of one order, oldest first, at most 100.
func (b book) byReference(ctx context.Context, reference string) (_ []Charge, err error) {
	rows, err := b.db.Query(ctx, selectCharge+" where reference = $1 order by created_at, id limit 100", reference)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list := []Charge{}
	for rows.Next() {
		c, err := scanCharge(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

const selectCharge = `select charge_key, id, status, reason, amount_cents, currency, payment_method, reference, refund_id, attempts
	from gateway_charges`

func scanCharge(row data.Row) (c Charge, err error) {
	err = row.Scan(&c.Key, &c.ID, &c.Status, &c.Reason, &c.AmountCents, &c.Currency, &c.PaymentMethod, &c.Reference, &c.RefundID, &c.Attempts)
	return c, err
}

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()) }
