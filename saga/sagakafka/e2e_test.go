package sagakafka_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/internal/correlation"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// order is the saga's state.
type order struct {
	ID      string  `json:"id"`
	Cents   int     `json:"cents"`
	Refuse  bool    `json:"refuse"` // the step after the payment is refused
	Payment payment `json:"payment"`
}

// world is a shop and a bank, each with its own database and outbox, and a broker between them.
type world struct {
	shop   data.DB
	bank   *bank
	engine *saga.Engine
	orders *saga.Def[order]
}

// inBackground runs something until the test's end, or until the returned function is called.
func inBackground(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

func newWorld(t *testing.T, cfg kafka.Config, timeout time.Duration) *world {
	t.Helper()
	w := &world{shop: datatest.SQLite(t), bank: newBank(t, datatest.SQLite(t))}
	require.NoError(t, migrate.Up(t.Context(), w.shop, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	box, err := outbox.New(outbox.Config{Source: "shop"})
	require.NoError(t, err)
	client, err := kafka.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, client.EnsureTopics(t.Context(),
		kafka.Topic{Name: "bank.commands", Partitions: 2, DLQ: true}, kafka.Topic{Name: "replies", Partitions: 2, DLQ: true}))

	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: "replies", Write: box.Write})
	require.NoError(t, err)
	retry := saga.Retry{Max: 5, First: 50 * time.Millisecond, Cap: 200 * time.Millisecond}
	pay := sagakafka.Call("pay", caller.To("bank.commands", chargeCommand),
		func(o order) charge { return charge{Order: o.ID, Cents: o.Cents} },
		func(o *order, p payment) { o.Payment = p }).
		Timeout(timeout).Retry(retry).UndoRetry(retry)
	ship := saga.Step("ship", func(_ saga.Ctx, o order) (saga.None, error) {
		if o.Refuse {
			return saga.None{}, saga.Reject("nobody ships there")
		}
		return saga.None{}, nil
	})
	w.orders = saga.Define("place-order", 1, pay, ship)
	store, err := sagasqlite.New(t.Context(), w.shop)
	require.NoError(t, err)
	w.engine, err = saga.New(saga.Config{Poll: 10 * time.Millisecond}, store, w.orders)
	require.NoError(t, err)
	inBackground(t, w.engine.Run)

	for _, side := range []struct {
		box *outbox.Outbox
		db  data.DB
	}{{box, w.shop}, {w.bank.box, w.bank.db}} {
		relay, err := outbox.NewRelay(outbox.RelayConfig{}, side.box, side.db, client)
		require.NoError(t, err)
		inBackground(t, relay.Run)
	}
	consume(t, cfg, "shop", "replies", caller.Replies(w.engine))
	return w
}

func consume(t *testing.T, cfg kafka.Config, group, topic string, fn func(context.Context, data.Event) error) (stop func()) {
	t.Helper()
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Config: cfg, Group: group, Topics: []string{topic}, FirstBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond,
	}, kafka.Events(fn))
	require.NoError(t, err)
	return inBackground(t, consumer.Run)
}

// brokers runs a test against a broker in a box, and against a real one where there is one.
func brokers(t *testing.T, test func(t *testing.T, cfg kafka.Config)) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(fake.Close)
		test(t, kafka.Config{Brokers: fake.ListenAddrs()})
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(t, kafka.Config{Brokers: datatest.KafkaBrokers(t), Prefix: "test-" + rand.Text() + "-"})
	})
}

func (w *world) place(t *testing.T, o order) (order, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(correlation.With(t.Context(), correlation.IDs{Correlation: "c-" + o.ID}), eventually)
	defer cancel()
	run, err := w.orders.Start(ctx, w.engine, saga.ID(o.ID), o)
	require.NoError(t, err)
	return run.Result(ctx)
}

func TestCallOverKafka(t *testing.T) {
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		w := newWorld(t, cfg, 30*time.Second)
		ids := make(chan correlation.IDs, 10)
		w.bank.onWrite(func(c saga.Ctx) error {
			ids <- correlation.From(c)
			if c.SagaID() == "o-2" {
				return saga.Reject("card declined")
			}
			return nil
		})
		consume(t, cfg, "bank", "bank.commands", w.bank.participant.Handle)

		done, err := w.place(t, order{ID: "o-1", Cents: 4200})
		require.NoError(t, err)
		require.Equal(t, payment{ID: "p-o-1"}, done.Payment)
		require.Equal(t, "c-o-1", (<-ids).Correlation, "the correlation id reaches the participant")

		_, err = w.place(t, order{ID: "o-2"})
		var compensated *saga.CompensatedError
		require.ErrorAs(t, err, &compensated)
		require.Equal(t, "pay", compensated.Step)
		require.Equal(t, "card declined", compensated.Reason)
		charges, voids := w.bank.effects(t, t.Context(), "pay")
		require.Equal(t, [2]int{1, 0}, [2]int{charges, voids})

		_, err = w.place(t, order{ID: "o-3", Refuse: true})
		require.ErrorAs(t, err, &compensated)
		require.Equal(t, "ship", compensated.Step)
		charges, voids = w.bank.effects(t, t.Context(), "pay")
		require.Equal(t, [2]int{2, 1}, [2]int{charges, voids}, "the payment of the order that nobody ships was taken back")
	})
}

// The participant is away until the saga has given the step up. Then it gets the command and its compensation, late and more than
// once: it must end without an effect, and the saga compensated.
func TestLateCommandsHaveNoLastingEffect(t *testing.T) {
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		w := newWorld(t, cfg, 300*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), eventually)
		defer cancel()
		run, err := w.orders.Start(ctx, w.engine, "o-1", order{ID: "o-1", Cents: 1})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			s, err := w.engine.Status(ctx, "o-1")
			return err == nil && s.State == saga.StateCompensating
		}, eventually, 10*time.Millisecond, "the retry budget is used up and the step is unknown")
		consume(t, cfg, "bank", "bank.commands", w.bank.participant.Handle)
		_, err = run.Result(ctx)
		var compensated *saga.CompensatedError
		require.ErrorAs(t, err, &compensated)
		charges, voids := w.bank.effects(t, ctx, "pay")
		require.Equal(t, charges, voids)
		require.LessOrEqual(t, charges, 1)
	})
}

// The participant fails for a while: the consumer repeats the command, the caller sends it again as well, and there is one effect.
func TestRetriesOfBothSidesMakeOneEffect(t *testing.T) {
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		w := newWorld(t, cfg, 400*time.Millisecond)
		var calls atomic.Int64
		w.bank.onWrite(func(saga.Ctx) error {
			if calls.Add(1) < 8 { // more than the consumer's attempts: the first command ends in the dead-letter topic
				return errors.New("the ledger is locked")
			}
			return nil
		})
		consume(t, cfg, "bank", "bank.commands", w.bank.participant.Handle)
		done, err := w.place(t, order{ID: "o-1"})
		require.NoError(t, err)
		require.Equal(t, "p-o-1", done.Payment.ID)
		charges, _ := w.bank.effects(t, t.Context(), "pay")
		require.Equal(t, 1, charges)
	})
}

// Without any reply to a compensation the saga must not wait for ever: it parks, and goes on when somebody retries it.
func TestCompensationWithoutReplyParks(t *testing.T) {
	brokers(t, func(t *testing.T, cfg kafka.Config) {
		w := newWorld(t, cfg, 100*time.Millisecond)
		_, err := w.place(t, order{ID: "o-1"})
		var parked *saga.ParkedError
		require.ErrorAs(t, err, &parked)
		require.Equal(t, "pay", parked.Step)
		consume(t, cfg, "bank", "bank.commands", w.bank.participant.Handle)
		require.NoError(t, w.engine.Retry(t.Context(), "o-1", "ann", "the bank is back"))
		require.Eventually(t, func() bool {
			s, err := w.engine.Status(t.Context(), "o-1")
			return err == nil && s.State == saga.State(saga.Compensated)
		}, eventually, 10*time.Millisecond)
	})
}
