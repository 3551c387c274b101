package adapters_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// rig is delivery behind its barrier, with one slot per day and one day to choose from.
type rig struct {
	t       *testing.T
	db      data.DB
	barrier *sagakafka.Participant
}

func newRig(t *testing.T, db data.DB) *rig {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	require.NoError(t, migrate.Up(ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}))
	require.NoError(t, migrate.Up(ctx, db, delivery.Migrations(), migrate.Config{Name: "delivery"}))
	box, err := outbox.New(outbox.Config{Source: "petstore/delivery"})
	require.NoError(t, err)
	uses, err := app.New(app.Config{
		Topic: "delivery.events", Capacity: func() int { return 1 }, Horizon: 1,
		Now: func() time.Time { return time.Date(2026, 12, 30, 23, 59, 0, 0, time.UTC) },
	}, adapters.SQL{}, box)
	require.NoError(t, err)
	barrier, err := sagakafka.NewParticipant(sagakafka.ParticipantConfig{Name: "delivery", Write: box.Write}, db, adapters.ScheduleDelivery(uses))
	require.NoError(t, err)
	return &rig{t, db, barrier}
}

func (r *rig) handle(direction saga.Direction, in platform.ScheduleDelivery) {
	r.t.Helper()
	body, err := json.Marshal(in)
	require.NoError(r.t, err)
	require.NoError(r.t, r.barrier.Handle(r.t.Context(), data.Event{
		ID: "c", Topic: platform.TopicDeliveryCommands, Key: in.OrderID, Type: platform.CommandScheduleDelivery, Data: body,
		Headers: map[string]string{
			sagakafka.SagaHeader: "order", sagakafka.SagaIDHeader: "saga of " + in.OrderID, sagakafka.StepHeader: "schedule_delivery",
			sagakafka.KeyHeader:       "uid of " + in.OrderID + "/schedule_delivery/" + string(direction),
			sagakafka.DirectionHeader: string(direction), sagakafka.ReplyToHeader: platform.TopicSagaReplies,
		},
	}))
}

// expect checks the slots that are taken and what was told: events by type, replies by direction and outcome.
func (r *rig) expect(taken int64, told ...string) {
	r.t.Helper()
	var n int64
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), "select coalesce(sum(taken), 0) from slots").Scan(&n))
	require.Equal(r.t, taken, n, "slots taken")
	rows, err := r.db.Query(r.t.Context(), "select type, headers from mmf_outbox order by seq")
	require.NoError(r.t, err)
	var list []string
	for rows.Next() {
		var typ, text string
		require.NoError(r.t, rows.Scan(&typ, &text))
		if typ == sagakafka.ReplyType {
			var h map[string]string
			require.NoError(r.t, json.Unmarshal([]byte(text), &h))
			typ = h[sagakafka.DirectionHeader] + ": " + h[sagakafka.OutcomeHeader]
		}
		list = append(list, typ)
	}
	require.NoError(r.t, rows.Err())
	require.Equal(r.t, told, list)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	const scheduled, cancelled = "petstore.delivery.scheduled.v1", "petstore.delivery.cancelled.v1"
	a := platform.ScheduleDelivery{OrderID: "ord-a", CustomerID: "alice", PetID: "goldfish-004", Priority: "normal"}
	b := a
	b.OrderID = "ord-b"
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Run("once, and back once", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, open(t))
				r.handle(saga.Do, a)
				r.handle(saga.Do, a)
				r.expect(1, scheduled, "do: done", "do: done")
				r.handle(saga.Undo, a)
				r.handle(saga.Undo, a)
				r.expect(0, scheduled, "do: done", "do: done", cancelled, "undo: done", "undo: done")
				r.handle(saga.Do, a)
				r.expect(0, scheduled, "do: done", "do: done", cancelled, "undo: done", "undo: done", "do: rejected")
			})
			t.Run("no slot", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, open(t))
				r.handle(saga.Do, a)
				r.handle(saga.Do, b)
				r.expect(1, scheduled, "do: done", "do: rejected")
				r.handle(saga.Undo, b)
				r.expect(1, scheduled, "do: done", "do: rejected", "undo: done")
			})
			t.Run("compensation first", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, open(t))
				r.handle(saga.Undo, a)
				r.handle(saga.Do, a)
				r.expect(0, "undo: done", "do: rejected")
			})
			t.Run("not deliverable", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, open(t))
				r.handle(saga.Do, platform.ScheduleDelivery{OrderID: "ord-a", CustomerID: "alice", Priority: "yesterday"})
				r.handle(saga.Do, platform.ScheduleDelivery{OrderID: "ord-b"})
				r.expect(0, "do: rejected", "do: rejected")
			})
		})
	}
}
