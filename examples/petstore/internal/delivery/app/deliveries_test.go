package app_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
)

type rig struct {
	t    *testing.T
	db   data.DB
	uses *app.Deliveries
}

func newRig(t *testing.T, db data.DB, capacity, horizon int) *rig {
	t.Helper()
	box, err := outbox.New(outbox.Config{Source: "petstore/delivery"})
	require.NoError(t, err)
	require.NoError(t, migrate.Up(t.Context(), db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	require.NoError(t, migrate.Up(t.Context(), db, delivery.Migrations(), migrate.Config{Name: "delivery"}))
	uses, err := app.New(app.Config{
		Topic: "delivery.events", Capacity: func() int { return capacity }, Horizon: horizon,
		Now: func() time.Time { return time.Date(2026, 12, 30, 23, 59, 0, 0, time.UTC) },
	}, adapters.SQL{}, box)
	require.NoError(t, err)
	return &rig{t, db, uses}
}

func (r *rig) schedule(orderID string, p domain.Priority) (d domain.Delivery, err error) {
	err = r.db.InTx(r.t.Context(), func(ctx context.Context, tx data.Tx) error {
		d, err = r.uses.Schedule(ctx, tx, "key of "+orderID, app.Request{OrderID: orderID, CustomerID: "alice", PetID: "goldfish-004", Priority: p})
		return err
	})
	return d, err
}

func (r *rig) cancel(orderID string) error {
	return r.db.InTx(r.t.Context(), func(ctx context.Context, tx data.Tx) error { return r.uses.Cancel(ctx, tx, orderID) })
}

func (r *rig) expect(taken int64, events ...string) {
	r.t.Helper()
	var n int64
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), "select coalesce(sum(taken), 0) from slots").Scan(&n))
	require.Equal(r.t, taken, n, "slots taken")
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
}

const (
	scheduled = "petstore.delivery.scheduled.v1"
	cancelled = "petstore.delivery.cancelled.v1"
)

func TestScheduleAndCancel(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t), 1, 2)

			a, err := r.schedule("ord-a", domain.Normal)
			require.NoError(t, err)
			require.Equal(t, domain.Day("2027-01-01"), a.Day)
			stored, err := adapters.SQL{}.Delivery(t.Context(), r.db, "ord-a")
			require.NoError(t, err)
			require.Equal(t, a.Day, stored.Day)
			require.Equal(t, domain.Scheduled, stored.Status)

			b, err := r.schedule("ord-b", domain.Normal)
			require.NoError(t, err)
			require.Greater(t, b.Day, a.Day, "the first day is full")
			_, err = r.schedule("ord-c", domain.Normal)
			require.ErrorIs(t, err, app.ErrNoSlots)
			express, err := r.schedule("ord-d", domain.Express)
			require.NoError(t, err)
			require.Less(t, express.Day, a.Day)
			r.expect(3, scheduled, scheduled, scheduled)

			for range 2 {
				require.NoError(t, r.cancel("ord-a"), "cancelling twice gives one slot back")
				r.expect(2, scheduled, scheduled, scheduled, cancelled)
			}
			require.NoError(t, r.cancel("never scheduled"))
			c, err := r.schedule("ord-c", domain.Normal)
			require.NoError(t, err)
			require.Equal(t, a.Day, c.Day, "the slot is free again")

			require.NoError(t, migrate.Down(t.Context(), r.db, delivery.Migrations(), migrate.Config{Name: "delivery"}))
		})
	}
}

func TestSlotsAreNeverOversold(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, open(t), 3, 2)
			var mu sync.Mutex
			days := map[domain.Day]int{}
			refused := 0
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() {
					d, err := r.schedule(fmt.Sprintf("ord-%d", i), domain.Normal)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						assert.ErrorIs(t, err, app.ErrNoSlots)
						refused++
						return
					}
					days[d.Day]++
				})
			}
			wg.Wait()
			require.Equal(t, 4, refused)
			require.Len(t, days, 2)
			for day, n := range days {
				require.Equal(t, 3, n, day)
			}
			r.expect(6, slices.Repeat([]string{scheduled}, 6)...)
		})
	}
}

func TestNoCapacity(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 0, 3)
	_, err := r.schedule("ord-a", domain.Normal)
	require.ErrorIs(t, err, app.ErrNoSlots)
	r.expect(0)
}

func TestOneDeliveryPerOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, datatest.SQLite(t), 5, 3)
	_, err := r.schedule("ord-a", domain.Normal)
	require.NoError(t, err)
	err = r.db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := r.uses.Schedule(ctx, tx, "another key", app.Request{OrderID: "ord-a"})
		return err
	})
	require.ErrorContains(t, err, "another delivery")
	r.expect(1, scheduled)

	_, err = app.New(app.Config{}, adapters.SQL{}, nil)
	require.Error(t, err)
	_, err = app.New(app.Config{Topic: "t", Capacity: func() int { return 1 }, Horizon: -1}, adapters.SQL{}, nil)
	require.Error(t, err)
}
