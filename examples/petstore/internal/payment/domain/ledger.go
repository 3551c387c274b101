package domain

import (
	"fmt"
	"math"
)

// Account is one of the two sides of every posting.
type Account string

// The accounts. AtGateway is what the gateway holds for the shop; Customers is what the shop owes its customers for it,
// in goods or in money.
const (
	AtGateway Account = "at_gateway"
	Customers Account = "customers"
)

// Entry is one line of the ledger: positive cents flow into the account, negative ones out of it. Entries are never
// changed; a mistake is corrected by another posting.
type Entry struct {
	Posting string // the business event, such as "pay-…/charge"; all entries of one posting sum to zero
	OrderID string
	Account Account
	Amount  Money
}

// Posting is one business event in the books.
type Posting struct {
	ID      string
	OrderID string
	Entries []Entry
}

// Postings are all that the books say about a payment: the charge, the charge and its exact reverse, or nothing. Their ids
// follow from the payment's, so writing them down twice changes nothing.
func Postings(p Payment) []Posting {
	charge, refund := transfer(p, "charge", Customers, AtGateway), transfer(p, "refund", AtGateway, Customers)
	switch p.Status {
	case Charged:
		return []Posting{charge}
	case Refunded:
		return []Posting{charge, refund}
	default:
		return nil
	}
}

func transfer(p Payment, what string, from, to Account) Posting {
	id := p.ID + "/" + what
	return Posting{ID: id, OrderID: p.OrderID, Entries: []Entry{
		{Posting: id, OrderID: p.OrderID, Account: to, Amount: p.Amount},
		{Posting: id, OrderID: p.OrderID, Account: from, Amount: Money{-p.Amount.Cents, p.Amount.Currency}},
	}}
}

// Check refuses a posting that does not sum to zero in every currency, or that has fewer than two entries: written down,
// it would create or destroy money.
func (p Posting) Check() error {
	if len(p.Entries) < 2 {
		return fmt.Errorf("posting %s has %d entries: double entry needs at least two", p.ID, len(p.Entries))
	}
	sums := map[string]int64{}
	for _, e := range p.Entries {
		if e.Posting != p.ID || e.OrderID != p.OrderID {
			return fmt.Errorf("posting %s holds an entry of posting %s, order %s", p.ID, e.Posting, e.OrderID)
		}
		sum := sums[e.Amount.Currency]
		if (e.Amount.Cents > 0 && sum > math.MaxInt64-e.Amount.Cents) || (e.Amount.Cents < 0 && sum < math.MinInt64-e.Amount.Cents) {
			return fmt.Errorf("posting %s overflows", p.ID)
		}
		sums[e.Amount.Currency] = sum + e.Amount.Cents
	}
	for currency, sum := range sums {
		if sum != 0 {
			return fmt.Errorf("posting %s sums to %s instead of zero", p.ID, Money{sum, currency})
		}
	}
	return nil
}

// Balance is what the gateway holds for an order, by currency: the amount after a charge, nothing after a refund.
func Balance(entries []Entry) map[string]int64 {
	balance := map[string]int64{}
	for _, e := range entries {
		if e.Account == AtGateway {
			balance[e.Amount.Currency] += e.Amount.Cents
		}
	}
	return balance
}
