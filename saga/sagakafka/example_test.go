package sagakafka_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// Purchase is the saga's state.
type Purchase struct {
	Cents   int
	Receipt Receipt
}

// Withdraw is the command, Receipt its result.
type (
	Withdraw struct{ Cents int }
	Receipt  struct{ Number string }
)

// town is where services live: it has the broker, and it ends whatever was started.
type town struct {
	ctx     context.Context
	brokers kafka.Config
	client  *kafka.Client
	stopped chan error
	running int
	dbs     []data.DB
}

func (t *town) start(run func(context.Context) error) {
	t.running++
	go func() { t.stopped <- run(t.ctx) }()
}

// office is what each service has: a database with an outbox, and a relay that empties it into Kafka.
func (t *town) office(name string) (data.DB, *outbox.Outbox, error) {
	db, err := datasqlite.Open(t.ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		return nil, nil, err
	}
	t.dbs = append(t.dbs, db)
	if err := migrate.Up(t.ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}); err != nil {
		return nil, nil, err
	}
	box, err := outbox.New(outbox.Config{Source: name})
	if err != nil {
		return nil, nil, err
	}
	relay, err := outbox.NewRelay(outbox.RelayConfig{}, box, db, t.client)
	if err != nil {
		return nil, nil, err
	}
	t.start(relay.Run)
	return db, box, nil
}

// listen hands the events of a topic to a function.
func (t *town) listen(group, topic string, to func(context.Context, data.Event) error) error {
	consumer, err := kafka.NewConsumer(
		kafka.ConsumerConfig{Config: t.brokers, Group: group, Topics: []string{topic}}, kafka.Events(to))
	if err == nil {
		t.start(consumer.Run)
	}
	return err
}

// till is the participant: it keeps the money and knows nothing of sagas but their context.
func (t *town) till() error {
	db, box, err := t.office("till")
	if err != nil {
		return err
	}
	if err := migrate.Up(t.ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}); err != nil {
		return err
	}
	withdraw := func(_ saga.Ctx, _ data.Tx, w Withdraw) (Receipt, error) { // write the effect with the Tx
		fmt.Println("withdraw", w.Cents)
		return Receipt{Number: "r-1"}, nil
	}
	giveBack := func(_ saga.Ctx, _ data.Tx, w Withdraw, r Receipt) error {
		fmt.Println("give back", w.Cents, "of", r.Number)
		return nil
	}
	participant, err := sagakafka.NewParticipant(
		sagakafka.ParticipantConfig{Name: "till", Write: box.Write}, db, sagakafka.On("till.withdraw.v1", withdraw, giveBack))
	if err != nil {
		return err
	}
	return t.listen("till", "till.commands", participant.Handle)
}

// shop is the caller: its saga has a step that the till carries out.
func (t *town) shop() error {
	db, box, err := t.office("shop")
	if err != nil {
		return err
	}
	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: "shop.replies", Write: box.Write})
	if err != nil {
		return err
	}
	pay := sagakafka.Call("pay", caller.To("till.commands", "till.withdraw.v1"),
		func(p Purchase) Withdraw { return Withdraw{Cents: p.Cents} },
		func(p *Purchase, r Receipt) { p.Receipt = r })
	wrap := saga.Step("wrap", func(_ saga.Ctx, p Purchase) (saga.None, error) {
		fmt.Println("wrap, paid with", p.Receipt.Number)
		return saga.None{}, saga.Reject("no paper left")
	})
	purchase := saga.Define("purchase", 1, pay, wrap)

	store, err := sagasqlite.New(t.ctx, db)
	if err != nil {
		return err
	}
	engine, err := saga.New(saga.Config{}, store, purchase)
	if err != nil {
		return err
	}
	t.start(engine.Run)
	if err := t.listen("shop", "shop.replies", caller.Replies(engine)); err != nil {
		return err
	}
	run, err := purchase.Start(t.ctx, engine, "p-1", Purchase{Cents: 4200})
	if err != nil {
		return err
	}
	_, err = run.Result(t.ctx)
	return err
}

// A shop's saga pays at a till, which is another service; then the shop cannot wrap the goods and the till gives the money back.
func Example() {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fake.Close()
	brokers := kafka.Config{Brokers: fake.ListenAddrs()}
	client, err := kafka.NewClient(brokers)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()

	ctx, stop := context.WithCancel(context.Background())
	t := &town{ctx: ctx, brokers: brokers, client: client, stopped: make(chan error)}
	err = client.EnsureTopics(ctx, kafka.Topic{Name: "till.commands", DLQ: true}, kafka.Topic{Name: "shop.replies", DLQ: true})
	if err == nil {
		err = t.till()
	}
	if err == nil {
		err = t.shop()
	}
	fmt.Println(err)
	stop()
	for range t.running {
		if err := <-t.stopped; err != nil {
			fmt.Println(err)
		}
	}
	for _, db := range t.dbs {
		_ = db.Close()
	}
	// Output:
	// withdraw 4200
	// wrap, paid with r-1
	// give back 4200 of r-1
	// saga: p-1 was compensated: step "wrap": no paper left
}
