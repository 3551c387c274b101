package catalog_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

type rig struct {
	db      data.DB
	catalog *app.Catalog

	mu     sync.Mutex
	events []string
}

func newRig(t *testing.T, db data.DB) *rig {
	t.Helper()
	require.NoError(t, migrate.Up(t.Context(), db, catalog.Migrations(), migrate.Config{Name: "catalog"}))
	r := &rig{db: db}
	r.catalog = app.New(adapters.SQL{}, func(_ context.Context, _ data.Tx, events ...data.Event) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, e := range events {
			r.events = append(r.events, e.Type+" "+e.Key)
		}
		return nil
	})
	return r
}

func (r *rig) reserve(t *testing.T, orderID, petID string) (reserved platform.PetReserved, err error) {
	t.Helper()
	err = r.db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		reserved, err = r.catalog.Reserve(ctx, tx, platform.ReservePet{OrderID: orderID, PetID: petID})
		return err
	})
	return reserved, err
}

func (r *rig) settle(t *testing.T, do func(context.Context, data.Tx, string) error, orderID string) {
	t.Helper()
	require.NoError(t, r.db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error { return do(ctx, tx, orderID) }))
}

func TestReserveReleaseSell(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t))
			const bubbles = "goldfish-004"
			status := func() domain.Status {
				p, err := adapters.SQL{}.Get(t.Context(), r.db, bubbles)
				require.NoError(t, err)
				return p.Status
			}
			reserved, err := r.reserve(t, "o1", bubbles)
			require.NoError(t, err)
			require.Equal(t, platform.PetReserved{PetID: bubbles, Name: "Bubbles", PriceCents: 2500, Currency: "USD"}, reserved)
			_, err = r.reserve(t, "o1", bubbles)
			require.NoError(t, err, "again changes nothing")
			_, err = r.reserve(t, "o2", bubbles)
			require.ErrorIs(t, err, domain.ErrTaken)
			_, err = r.reserve(t, "o2", "unicorn")
			require.ErrorIs(t, err, domain.ErrUnknown)

			r.settle(t, r.catalog.Release, "o2")
			require.Equal(t, domain.Reserved, status(), "an order without a pet has nothing to give back")
			r.settle(t, r.catalog.Release, "o1")
			r.settle(t, r.catalog.Release, "o1")
			require.Equal(t, domain.Available, status())
			r.settle(t, r.catalog.Sell, "o1")
			require.Equal(t, domain.Available, status())

			_, err = r.reserve(t, "o3", bubbles)
			require.NoError(t, err)
			r.settle(t, r.catalog.Sell, "o3")
			r.settle(t, r.catalog.Release, "o3")
			require.Equal(t, domain.Sold, status())
			require.Equal(t, []string{
				app.PetReserved + " " + bubbles, app.PetReleased + " " + bubbles, app.PetReserved + " " + bubbles, app.PetSold + " " + bubbles,
			}, r.events)

			found, err := adapters.SQL{}.List(t.Context(), r.db, app.Filter{Status: "available"})
			require.NoError(t, err)
			require.Len(t, found, 4)
			found, err = adapters.SQL{}.List(t.Context(), r.db, app.Filter{Category: "fish"})
			require.NoError(t, err)
			require.Len(t, found, 1)
			found, err = adapters.SQL{}.List(t.Context(), r.db, app.Filter{MaxPriceCents: 15000})
			require.NoError(t, err)
			require.Len(t, found, 2, "the bound itself is within")
		})
	}
}

// TestOnePetManyBuyers lets orders race for one pet: one gets it.
func TestOnePetManyBuyers(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t))
			errs := make([]error, 8)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { _, errs[i] = r.reserve(t, fmt.Sprintf("o%d", i), "goldfish-004") })
			}
			wg.Wait()
			winners := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil })
			require.Len(t, winners, 1, "%v", errs)
			for _, err := range errs {
				if err != nil {
					assert.ErrorIs(t, err, domain.ErrTaken)
				}
			}
		})
	}
}
