package domain_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/examples/petstore/internal/payment/domain"
)

var (
	now   = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	order = domain.Order{ID: "ord-1", CustomerID: "alice", Amount: domain.Money{Cents: 129600, Currency: "USD"}, Method: "pm_visa"}
)

func TestMoney(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1296.00 USD", order.Amount.String())
	require.Equal(t, "-0.05 USD", domain.Money{Cents: -5, Currency: "USD"}.String())
	require.NoError(t, order.Amount.Validate())
	for _, bad := range []domain.Money{{0, "USD"}, {-1, "USD"}, {1, ""}, {1, "DOLLAR"}} {
		require.Error(t, bad.Validate(), "%v", bad)
	}
}

func TestOrderValidate(t *testing.T) {
	t.Parallel()
	require.NoError(t, order.Validate())
	for name, spoil := range map[string]func(*domain.Order){
		"order": func(o *domain.Order) { o.ID = "" }, "customer": func(o *domain.Order) { o.CustomerID = strings.Repeat("x", 201) },
		"payment method": func(o *domain.Order) { o.Method = "" }, "amount": func(o *domain.Order) { o.Amount.Cents = 0 },
	} {
		bad := order
		spoil(&bad)
		require.ErrorContains(t, bad.Validate(), name)
	}
}

func TestPaymentIDIsDerived(t *testing.T) {
	t.Parallel()
	require.Equal(t, domain.PaymentID("k"), domain.PaymentID("k"))
	require.NotEqual(t, domain.PaymentID("k"), domain.PaymentID("l"))
	require.Regexp(t, `^pay-[a-z2-7]{20}$`, domain.PaymentID("k"))
}

func TestPaymentTransitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		charge   domain.Charge
		want     domain.Status
		refunded bool
	}{
		{"captured", domain.Charge{ID: "ch-1", Status: domain.ChargeCaptured}, domain.Charged, true},
		{"declined", domain.Charge{ID: "ch-1", Status: domain.ChargeDeclined, Reason: "card_declined"}, domain.Declined, false},
		{"charged and taken back at once", domain.Charge{ID: "ch-1", Status: domain.ChargeRefunded, RefundID: "rf-0"}, domain.Refunded, false},
		{"voided before it happened", domain.Charge{ID: "ch-1", Status: domain.ChargeVoided, Reason: "voided"}, domain.Voided, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := domain.NewPayment(order, "key", c.charge, now)
			require.Equal(t, c.want, p.Status)
			require.Equal(t, c.charge.Reason, p.Reason)
			before := p
			require.Equal(t, c.charge, p.Charge(), "a payment knows what became of its charge")
			if c.want == domain.Declined || c.want == domain.Voided {
				require.Empty(t, domain.Postings(p), "no money moved")
			}
			require.Equal(t, c.refunded, p.Refund("rf-1", now.Add(time.Second)))
			if !c.refunded {
				require.Equal(t, before, p, "what holds no money does not change")
				return
			}
			require.Equal(t, domain.Refunded, p.Status)
			require.False(t, p.Refund("rf-2", now), "money goes back once")
			require.Equal(t, "rf-1", p.RefundID)
		})
	}
}

func TestLedgerBalances(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := order
		o.Amount.Cents = rapid.Int64Range(1, math.MaxInt64).Draw(t, "cents")
		p := domain.NewPayment(o, rapid.String().Draw(t, "key"), domain.Charge{Status: domain.ChargeCaptured}, now)
		require.Equal(t, map[string]int64{"USD": o.Amount.Cents}, balance(t, p))
		require.True(t, p.Refund("rf", now))
		require.Equal(t, map[string]int64{"USD": 0}, balance(t, p))
	})
}

// balance is that of everything the books say about p, each posting checked.
func balance(t require.TestingT, p domain.Payment) map[string]int64 {
	var entries []domain.Entry
	seen := map[string]bool{}
	for _, posting := range domain.Postings(p) {
		require.NoError(t, posting.Check())
		require.False(t, seen[posting.ID], "postings have ids of their own")
		seen[posting.ID] = true
		entries = append(entries, posting.Entries...)
	}
	return domain.Balance(entries)
}

func TestPostingRefusesWhatMakesMoney(t *testing.T) {
	t.Parallel()
	p := domain.NewPayment(order, "key", domain.Charge{Status: domain.ChargeCaptured}, now)
	for name, spoil := range map[string]func(*domain.Posting){
		"one entry":       func(p *domain.Posting) { p.Entries = p.Entries[:1] },
		"no entry":        func(p *domain.Posting) { p.Entries = nil },
		"a cent too many": func(p *domain.Posting) { p.Entries[0].Amount.Cents++ },
		"two currencies":  func(p *domain.Posting) { p.Entries[0].Amount.Currency = "EUR" },
		"another posting": func(p *domain.Posting) { p.Entries[0].Posting = "x" },
		"another order":   func(p *domain.Posting) { p.Entries[1].OrderID = "x" },
		"overflow": func(p *domain.Posting) {
			p.Entries[0].Amount.Cents, p.Entries[1].Amount.Cents = math.MaxInt64, math.MaxInt64
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			posting := domain.Postings(p)[0]
			require.NoError(t, posting.Check())
			spoil(&posting)
			require.Error(t, posting.Check())
		})
	}
}
