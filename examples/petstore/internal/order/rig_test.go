package order_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/examples/petstore/internal/order"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is the order service's saga on a real database, with the other services played by participants behind the real barrier on a
// database of their own. Instead of Kafka a relay hands each event straight to whoever listens.
type rig struct {
	t      *testing.T
	orders *app.Orders
	box    *outbox.Outbox
	caller *sagakafka.Caller

	others      data.DB
	participant *sagakafka.Participant

	// store breaks what the order's own steps write.
	breakStore atomic.Pointer[func(e domain.Event) error]
	// deliver, when set, sees each event first and says how often it arrives.
	deliver func(ev data.Event) (times int)
	// perform, when set, decides before a participant has its effect.
	perform func(step string, attempt int) error

	mu     sync.Mutex
	events []data.Event // that reached the topic of order events
}

func newRig(t *testing.T, db data.DB, timeout time.Duration) *rig {
	t.Helper()
	r := &rig{t: t, others: datatest.SQLite(t)}
	ctx := t.Context()
	require.NoError(t, migrate.Up(ctx, db, order.Migrations(), migrate.Config{Name: "order"}))
	r.box = r.outbox(db, "petstore/order")
	var err error
	r.caller, err = sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: platform.TopicSagaReplies, Write: r.box.Write})
	require.NoError(t, err)
	store := breakable{r: r}
	def := order.PlaceOrder(app.NewSteps(store, r.box.Write, func() float64 { return 0.08 }), r.caller, timeout)
	require.NoError(t, def.Err())
	open := sagasqlite.New
	if db.Dialect() == data.Postgres {
		open = sagapg.New
	}
	journal, err := open(ctx, db)
	require.NoError(t, err)
	engine, err := saga.New(saga.Config{Publish: r.box.Write, Poll: 20 * time.Millisecond}, journal, def)
	require.NoError(t, err)
	r.orders = &app.Orders{
		DB: db, Store: store, Engine: engine, Saga: def, Catalog: pets{"goldfish-004"}, MaxOpen: func() int { return 10 },
	}

	require.NoError(t, migrate.Up(ctx, r.others, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}))
	_, err = r.others.Exec(ctx, `create table effects (order_id text not null, step text not null, primary key (order_id, step))`)
	require.NoError(t, err)
	replies := r.outbox(r.others, "petstore/others")
	r.participant, err = sagakafka.NewParticipant(sagakafka.ParticipantConfig{Name: "others", Write: replies.Write}, r.others,
		sagakafka.On(platform.CommandReservePet, func(c saga.Ctx, tx data.Tx, cmd platform.ReservePet) (platform.PetReserved, error) {
			return platform.PetReserved{PetID: cmd.PetID, Name: "Bubbles", PriceCents: 2500, Currency: "USD"}, r.effect(c, tx, cmd.OrderID)
		}, func(c saga.Ctx, tx data.Tx, cmd platform.ReservePet, _ platform.PetReserved) error {
			return r.undo(c, tx, cmd.OrderID)
		}),
		sagakafka.On(platform.CommandProcessPayment, func(c saga.Ctx, tx data.Tx, cmd platform.ProcessPayment) (platform.PaymentProcessed, error) {
			if cmd.AmountCents != 2700 {
				return platform.PaymentProcessed{}, saga.Reject("asked for %d cents", cmd.AmountCents)
			}
			return platform.PaymentProcessed{PaymentID: "pay-1", Status: "charged"}, r.effect(c, tx, cmd.OrderID)
		}, func(c saga.Ctx, tx data.Tx, cmd platform.ProcessPayment, _ platform.PaymentProcessed) error {
			return r.undo(c, tx, cmd.OrderID)
		}),
		sagakafka.On(platform.CommandScheduleDelivery, func(c saga.Ctx, tx data.Tx, cmd platform.ScheduleDelivery) (platform.DeliveryScheduled, error) {
			return platform.DeliveryScheduled{DeliveryID: "del-1", Slot: "tomorrow"}, r.effect(c, tx, cmd.OrderID)
		}, func(c saga.Ctx, tx data.Tx, cmd platform.ScheduleDelivery, _ platform.DeliveryScheduled) error {
			return r.undo(c, tx, cmd.OrderID)
		}),
	)
	require.NoError(t, err)
	r.run(engine.Run, r.relay(r.box, db), r.relay(replies, r.others))
	return r
}

// run starts workers and stops them, all at once, before the databases close.
func (r *rig) run(workers ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, work := range workers {
		wg.Go(func() { _ = work(ctx) })
	}
	r.t.Cleanup(func() { cancel(); wg.Wait() })
}

func (r *rig) outbox(db data.DB, source string) *outbox.Outbox {
	box, err := outbox.New(outbox.Config{Source: source})
	require.NoError(r.t, err)
	require.NoError(r.t, migrate.Up(r.t.Context(), db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	return box
}

func (r *rig) relay(box *outbox.Outbox, db data.DB) func(context.Context) error {
	relay, err := outbox.NewRelay(outbox.RelayConfig{RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond}, box, db, r)
	require.NoError(r.t, err)
	return relay.Run
}

// Publish is the broker: it delivers at once, and an error of whoever listens is an error of the broker, so the event comes again.
func (r *rig) Publish(ctx context.Context, records []outbox.Record) []error {
	answers := make([]error, len(records))
	for i, rec := range records {
		times := 1
		if r.deliver != nil {
			times = r.deliver(rec.Event)
		}
		for range times {
			answers[i] = errors.Join(answers[i], r.arrive(ctx, rec.Event))
		}
	}
	return answers
}

func (r *rig) arrive(ctx context.Context, ev data.Event) error {
	switch ev.Topic {
	case platform.TopicSagaReplies:
		return r.caller.Replies(r.orders.Engine)(ctx, ev)
	case platform.TopicOrderEvents:
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.ContainsFunc(r.events, func(e data.Event) bool { return e.ID == ev.ID }) {
			r.events = append(r.events, ev)
		}
		return nil
	}
	return r.participant.Handle(ctx, ev)
}

func (r *rig) effect(c saga.Ctx, tx data.Tx, orderID string) error {
	if r.perform != nil {
		if err := r.perform(c.Step(), c.Attempt()); err != nil {
			return err
		}
	}
	_, err := tx.Exec(c, `insert into effects (order_id, step) values ($1, $2)`, orderID, c.Step())
	return err
}

func (r *rig) undo(c saga.Ctx, tx data.Tx, orderID string) error {
	n, err := tx.Exec(c, `delete from effects where order_id = $1 and step = $2`, orderID, c.Step())
	if err == nil && n != 1 {
		return errors.New("there was no effect to take back")
	}
	return err
}

// effects are what the other services have done and not taken back.
func (r *rig) effects(id string) (n int) {
	require.NoError(r.t, r.others.QueryRow(r.t.Context(), `select count(*) from effects where order_id = $1`, id).Scan(&n))
	return n
}

func (r *rig) place(key string) string {
	id, existed, err := r.orders.Place(r.t.Context(), key, request("alice"))
	require.NoError(r.t, err)
	require.False(r.t, existed)
	return id
}

func request(customer string) app.Purchase {
	return app.Purchase{CustomerID: customer, PetID: "goldfish-004", PaymentMethod: "pm_visa", Priority: "normal"}
}

// settle waits for the saga's end and returns how it ended and the order.
func (r *rig) settle(id string) (domain.Order, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	run, err := r.orders.Saga.Find(ctx, r.orders.Engine, saga.ID(id))
	require.NoError(r.t, err)
	_, outcome := run.Result(ctx)
	o, err := r.orders.Store.Get(ctx, r.orders.DB, id)
	if errors.Is(err, data.ErrNoRows) {
		return domain.Order{}, outcome
	}
	require.NoError(r.t, err)
	return o, outcome
}

// published waits until the order's topic has n events and returns their types.
func (r *rig) published(n int) []string {
	var types []string
	require.Eventually(r.t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		types = types[:0]
		for _, e := range r.events {
			types = append(types, e.Type)
		}
		return len(types) >= n
	}, 20*time.Second, 5*time.Millisecond, "%d events", n)
	return types
}

type pets []string

func (p pets) Exists(_ context.Context, id string) (bool, error) { return slices.Contains(p, id), nil }

// breakable is the SQL store with the rig's faults.
type breakable struct {
	adapters.SQL

	r *rig
}

func (b breakable) Append(ctx context.Context, tx data.Tx, after domain.Order, e domain.Event) error {
	if f := b.r.breakStore.Load(); f != nil {
		if err := (*f)(e); err != nil {
			return err
		}
	}
	return b.SQL.Append(ctx, tx, after, e)
}
