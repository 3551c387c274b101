package outbox_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
)

// printer stands for a broker; the Kafka client is another Publisher.
type printer struct{ done context.CancelFunc }

func (p printer) Publish(_ context.Context, records []outbox.Record) []error {
	for _, r := range records {
		fmt.Printf("%s %s %s\n", r.Topic, r.Type, r.Data)
	}
	p.done()
	return make([]error, len(records)) // nil for each: acknowledged
}

// An order and the event about it are committed together; a relay publishes the event.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	if err := migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := db.Exec(ctx, "create table orders (id text primary key, pet text not null)"); err != nil {
		fmt.Println(err)
		return
	}
	box, err := outbox.New(outbox.Config{Source: "petstore/order"})
	if err != nil {
		fmt.Println(err)
		return
	}

	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		if _, err := tx.Exec(ctx, "insert into orders (id, pet) values ($1, $2)", "o-1", "Rex"); err != nil {
			return err
		}
		return box.Write(ctx, tx, data.Event{
			Topic: "orders", Key: "o-1", Type: "petstore.order.created.v1", Data: map[string]string{"pet": "Rex"},
		})
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	relay, err := outbox.NewRelay(outbox.RelayConfig{}, box, db, printer{done: cancel})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(relay.Run(ctx)) // normally in a goroutine, until the process stops
	// Output:
	// orders petstore.order.created.v1 {"pet":"Rex"}
	// <nil>
}
