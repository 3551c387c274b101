package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func TestApply(t *testing.T) {
	t.Parallel()
	created := domain.Event{OrderID: "o", Version: 1, At: at, Created: &domain.Created{CustomerID: "alice", PetID: "p"}}
	approved := domain.Event{OrderID: "o", Version: 2, At: at, Approval: &domain.Approval{AmountCents: 2700}}
	cancelled := domain.Event{OrderID: "o", Version: 2, At: at, Cancelled: &domain.Cancellation{}}
	again := func(e domain.Event) domain.Event { e.Version = 3; return e }
	other := func(e domain.Event) domain.Event { e.OrderID = "x"; return e }
	for _, c := range []struct {
		name   string
		events []domain.Event
		want   domain.State
		err    error
	}{
		{"placed", []domain.Event{created}, domain.Placed, nil},
		{"approved", []domain.Event{created, approved}, domain.Approved, nil},
		{"cancelled", []domain.Event{created, cancelled}, domain.Cancelled, nil},
		{"approved twice", []domain.Event{created, approved, again(approved)}, domain.Approved, domain.ErrEnded},
		{"cancelled after approval", []domain.Event{created, approved, again(cancelled)}, domain.Approved, domain.ErrEnded},
		{"a gap", []domain.Event{created, again(approved)}, domain.Placed, domain.ErrSequence},
		{"of another order", []domain.Event{created, other(approved)}, domain.Placed, domain.ErrSequence},
		{"without a beginning", []domain.Event{approved}, "", domain.ErrSequence},
		{"says nothing", []domain.Event{{OrderID: "o", Version: 1}}, "", domain.ErrSequence},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o, err := domain.Rebuild(c.events)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.want, o.State)
		})
	}
}

func TestIDTellsCustomerAndKeyApart(t *testing.T) {
	t.Parallel()
	require.Equal(t, domain.ID("alice", "k"), domain.ID("alice", "k"))
	require.NotEqual(t, domain.ID("alice", "bk"), domain.ID("aliceb", "k"))
	require.NotEqual(t, domain.ID("1", "1:a"), domain.ID("11", ":a"))
}

func TestWithTax(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		price int64
		rate  float64
		want  int64
	}{
		{120000, 0.08, 129600}, {2500, 0.08, 2700}, {1, 0.08, 1}, {6, 0.08, 6}, {7, 0.08, 8}, {100, 0, 100}, {100, 1, 200}, {25, 0.1, 28}, {333, 0.0825, 360},
	} {
		require.Equal(t, c.want, domain.WithTax(c.price, domain.TaxBasis(c.rate)), "%+v", c)
	}
	rapid.Check(t, func(t *rapid.T) {
		price, basis := rapid.Int64Range(0, 1e12).Draw(t, "price"), rapid.Int64Range(0, 10_000).Draw(t, "basis")
		tax := domain.WithTax(price, basis) - price
		// Half up: the tax is within half a cent of the exact one.
		if d := 2 * (tax*10_000 - price*basis); d > 10_000 || d <= -10_000 {
			t.Fatalf("%d at %d: tax %d", price, basis, tax)
		}
	})
}
