package app_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/gateway"
	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/resilience/resiliencehttp"
)

const (
	apiKey = "a-key-for-tests-only"
	topic  = "payment.events"
)

// rig is payment with a real database and a real gateway, behind real policies.
type rig struct {
	t    *testing.T
	db   data.DB
	uses *app.Payments
	gate *adapters.Gateway
	srv  *httptest.Server
}

// newRig makes a rig whose charges are attempted 1+retries times.
func newRig(t *testing.T, db data.DB, retries int) *rig {
	t.Helper()
	g, err := gateway.New(gateway.Config{APIKey: apiKey}, datatest.SQLite(t))
	require.NoError(t, err)
	require.NoError(t, g.Migrate(t.Context()))
	srv := httptest.NewServer(g.Handler())
	t.Cleanup(srv.Close)

	box, err := outbox.New(outbox.Config{Source: "petstore/payment"})
	require.NoError(t, err)
	require.NoError(t, migrate.Up(t.Context(), db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	require.NoError(t, migrate.Up(t.Context(), db, payment.Migrations(), migrate.Config{Name: "payment"}))

	client := func(name string) *http.Client {
		policy, err := resilience.New(resilience.Config{
			Name: name, Timeout: 400 * time.Millisecond,
			Retry:   resilience.Retry{Max: retries, Disable: retries == 0, First: time.Millisecond, Budget: 100},
			Breaker: resilience.Breaker{Disable: true},
		})
		require.NoError(t, err)
		return &http.Client{Transport: resiliencehttp.Transport(policy, http.DefaultTransport)}
	}
	gate := adapters.NewGateway(srv.URL, apiKey, client("payment_gateway"), client("payment_refunds"))
	return &rig{t, db, app.New(db, gate, adapters.SQL{}, box, topic), gate, srv}
}

func order(method string) domain.Order {
	return domain.Order{ID: "ord-1", CustomerID: "alice", Amount: domain.Money{Cents: 129600, Currency: "USD"}, Method: method}
}

// do charges and records as a handler does.
func (r *rig) do(o domain.Order, lastTry bool) (domain.Charge, error) {
	r.t.Helper()
	charge, err := r.uses.Charge(r.t.Context(), "key", o, lastTry)
	if err != nil || charge.Status != domain.ChargeCaptured {
		return charge, err
	}
	return charge, r.db.InTx(r.t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := r.uses.RecordCharge(ctx, tx, "key", o, charge)
		return err
	})
}

func (r *rig) undo(o domain.Order) (domain.Charge, error) {
	r.t.Helper()
	return r.uses.Refund(r.t.Context(), "key", o)
}

// expect checks the payment's status ("" for none), what the gateway holds by our ledger, and the events that were told.
func (r *rig) expect(status domain.Status, balance int64, events ...string) domain.Payment {
	r.t.Helper()
	p, err := adapters.SQL{}.Payment(r.t.Context(), r.db, "ord-1")
	if status == "" {
		require.ErrorIs(r.t, err, data.ErrNoRows)
	} else {
		require.NoError(r.t, err)
		require.Equal(r.t, status, p.Status)
	}
	entries, err := adapters.SQL{}.Ledger(r.t.Context(), r.db, "ord-1")
	require.NoError(r.t, err)
	require.Equal(r.t, balance, domain.Balance(entries)["USD"])
	var sum int64
	for _, e := range entries {
		sum += e.Amount.Cents
	}
	require.Zero(r.t, sum, "double entry")
	rows, err := r.db.Query(r.t.Context(), "select type from mmf_outbox order by seq")
	require.NoError(r.t, err)
	var told []string
	for rows.Next() {
		var typ string
		require.NoError(r.t, rows.Scan(&typ))
		told = append(told, typ)
	}
	require.NoError(r.t, rows.Err())
	require.Equal(r.t, events, told)
	return p
}

const (
	chargedEvent  = "petstore.payment.charged.v1"
	declinedEvent = "petstore.payment.declined.v1"
	refundedEvent = "petstore.payment.refunded.v1"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				name, method string
				retries      int
				lastTry      bool
				unknown      bool // the first half ends in ErrUnknown
				status       domain.Status
				reason       string
				balance      int64
				events       []string
				// after the undo:
				undone       domain.Status
				undoneEvents []string
			}{
				{
					name: "visa", method: gateway.Visa, status: domain.Charged, balance: 129600, events: []string{chargedEvent},
					undone: domain.Refunded, undoneEvents: []string{chargedEvent, refundedEvent},
				},
				{
					name: "declined", method: gateway.Declining, status: domain.Declined, reason: "insufficient_funds",
					events: []string{declinedEvent}, undone: domain.Declined, undoneEvents: []string{declinedEvent},
				},
				{
					name: "no such method", method: "pm_odd", status: domain.Declined, reason: "unknown_payment_method",
					events: []string{declinedEvent}, undone: domain.Declined, undoneEvents: []string{declinedEvent},
				},
				{
					name: "charge, then timeout: a repetition finds it", method: gateway.ChargeThenTimeout, retries: 2,
					status: domain.Charged, balance: 129600, events: []string{chargedEvent},
					undone: domain.Refunded, undoneEvents: []string{chargedEvent, refundedEvent},
				},
				{
					name: "charge, then timeout, never asked again: the refund finds it", method: gateway.ChargeThenTimeout, unknown: true,
					undone: domain.Refunded, undoneEvents: []string{refundedEvent},
				},
				{
					name: "charge, then timeout, out of patience", method: gateway.ChargeThenTimeout, lastTry: true,
					status: domain.Refunded, reason: "gateway_unreachable", events: []string{refundedEvent},
					undone: domain.Refunded, undoneEvents: []string{refundedEvent},
				},
				{name: "unreachable", method: gateway.Unreachable, retries: 2, unknown: true, undone: domain.Voided},
				{
					name: "unreachable, out of patience", method: gateway.Unreachable, retries: 2, lastTry: true,
					status: domain.Declined, reason: "gateway_unreachable", events: []string{declinedEvent},
					undone: domain.Declined, undoneEvents: []string{declinedEvent},
				},
			} {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					r := newRig(t, open(t), c.retries)
					p, err := r.do(order(c.method), c.lastTry)
					if c.unknown {
						require.ErrorIs(t, err, app.ErrUnknown)
					} else {
						require.NoError(t, err)
						require.Equal(t, c.reason, p.Reason)
						again, err := r.do(order(c.method), c.lastTry)
						require.NoError(t, err, "a repeated command")
						require.Equal(t, p, again, "is not charged again")
					}
					r.expect(c.status, c.balance, c.events...)

					first, err := r.undo(order(c.method))
					require.NoError(t, err)
					r.expect(c.undone, 0, c.undoneEvents...)
					second, err := r.undo(order(c.method))
					require.NoError(t, err)
					require.Equal(t, first, second, "money goes back once")
					r.expect(c.undone, 0, c.undoneEvents...)
				})
			}
		})
	}
}

func TestRefundOfWhatWasNeverCharged(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 0)
	reversed, err := r.undo(order(gateway.Visa))
	require.NoError(t, err)
	require.Equal(t, domain.ChargeVoided, reversed.Status)
	r.expect(domain.Voided, 0)

	// A charge that comes late is not even asked for.
	r.srv.Close()
	late, err := r.do(order(gateway.Visa), false)
	require.NoError(t, err)
	require.Equal(t, domain.ChargeVoided, late.Status)
	r.expect(domain.Voided, 0)
}

// The gateway voided the key, but we died before we wrote that down. A charge that comes late is refused there.
func TestLateChargeIsRefusedByTheGateway(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 0)
	_, err := r.gate.Reverse(t.Context(), "key")
	require.NoError(t, err)
	late, err := r.do(order(gateway.Visa), false)
	require.NoError(t, err)
	require.Equal(t, domain.ChargeVoided, late.Status)
	r.expect(domain.Voided, 0)
}

func TestOrderThatCannotBeCharged(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 0)
	bad := order(gateway.Visa)
	bad.Amount.Cents = 0
	_, err := r.undo(bad)
	require.NoError(t, err)
	r.expect("", 0)
}

func TestGatewayIsDead(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 1)
	r.srv.Close()
	_, err := r.do(order(gateway.Visa), true)
	require.ErrorIs(t, err, app.ErrUnknown, "nobody can say whether an earlier attempt charged")
	_, err = r.undo(order(gateway.Visa))
	require.ErrorIs(t, err, app.ErrUnknown)
	r.expect("", 0)
}

func TestBooksThatDifferAreNotWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 0)
	_, err := r.do(order(gateway.Visa), false)
	require.NoError(t, err)
	for name, call := range map[string]func(ctx context.Context, tx data.Tx) error{
		"the gateway never charged": func(ctx context.Context, tx data.Tx) error {
			return r.uses.RecordRefund(ctx, tx, "key", order(gateway.Visa), domain.Charge{Status: domain.ChargeVoided})
		},
		"another key": func(ctx context.Context, tx data.Tx) error {
			return r.uses.RecordRefund(ctx, tx, "other", order(gateway.Visa), domain.Charge{Status: domain.ChargeRefunded})
		},
	} {
		require.ErrorIs(t, r.db.InTx(t.Context(), call), app.ErrBooksDiffer, name)
	}
	err = r.db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := r.uses.RecordCharge(ctx, tx, "other", order(gateway.Visa), domain.Charge{Status: domain.ChargeCaptured})
		return err
	})
	require.ErrorContains(t, err, "one order pays once")
	_, err = r.uses.Charge(t.Context(), "other", order(gateway.Visa), false)
	require.ErrorIs(t, err, app.ErrBooksDiffer)
	r.expect(domain.Charged, 129600, chargedEvent)
}

func TestLedgerIsAppendOnly(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t), 0)
			_, err := r.do(order(gateway.Visa), false)
			require.NoError(t, err)
			for _, sql := range []string{"update ledger_entries set amount_cents = 1", "delete from ledger_entries"} {
				_, err := r.db.Exec(t.Context(), sql)
				require.ErrorContains(t, err, "append-only")
			}
			r.expect(domain.Charged, 129600, chargedEvent)
			require.NoError(t, migrate.Down(t.Context(), r.db, payment.Migrations(), migrate.Config{Name: "payment"}))
			require.NoError(t, migrate.Up(t.Context(), r.db, payment.Migrations(), migrate.Config{Name: "payment"}))
		})
	}
}
