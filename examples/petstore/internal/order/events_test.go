package order_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/order"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
)

// TestEventsAreAppendOnly tries what no code of the service does: events stay as they were written, whoever asks.
func TestEventsAreAppendOnly(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, files, cfg := open(t), order.Migrations(), migrate.Config{Name: "order"}
			require.NoError(t, migrate.Up(t.Context(), db, files, cfg))
			event := domain.Event{
				OrderID: "ord-1", Version: 1, At: time.UnixMicro(1).UTC(), Created: &domain.Created{CustomerID: "alice", PetID: "goldfish-004"},
			}
			write := func(e domain.Event) error {
				return db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
					return adapters.SQL{}.Append(ctx, tx, domain.Order{ID: "ord-1", State: domain.Placed, Version: e.Version}, e)
				})
			}
			require.NoError(t, write(event))
			statements := []string{"update order_events set data = '{}'", "delete from order_events"}
			if db.Dialect() == data.Postgres {
				statements = append(statements, "truncate order_events")
			}
			for _, sql := range statements {
				_, err := db.Exec(t.Context(), sql)
				require.ErrorContains(t, err, "append-only", sql)
			}
			var unique *data.Error
			require.ErrorAs(t, write(event), &unique)
			require.Equal(t, data.KindUnique, unique.Kind, "a version is written once")
			events, err := adapters.SQL{}.Events(t.Context(), db, "ord-1")
			require.NoError(t, err)
			require.Equal(t, []domain.Event{event}, events)

			next := event
			next.Version = 2
			require.NoError(t, write(next), "the next event is welcome")

			require.NoError(t, migrate.Down(t.Context(), db, files, cfg))
			_, err = db.Exec(t.Context(), "delete from order_events where version = 2")
			require.NoError(t, err, "one step back: the table without its guard")
			require.NoError(t, migrate.Up(t.Context(), db, files, cfg))
			_, err = db.Exec(t.Context(), "delete from order_events")
			require.ErrorContains(t, err, "append-only")
		})
	}
}
