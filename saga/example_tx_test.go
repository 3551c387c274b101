package saga_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// An order and the saga that fulfils it exist together or not at all.
func ExampleDef_StartTx() {
	ctx := context.Background()
	store, closeStore, err := newStore(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = closeStore() }()
	send := saga.Define("send-parcel", 1, saga.Step("pack", func(saga.Ctx, shipment) (saga.None, error) { return saga.None{}, nil }))
	engine, err := saga.New(saga.Config{}, store, send)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := engine.Register(ctx); err != nil { // once; an engine that runs has done it
		fmt.Println(err)
		return
	}
	order := func(id saga.ID, sold error) error {
		return store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error {
			// INSERT INTO orders … with tx, and then:
			if _, err := send.StartTx(ctx, engine, tx, id, shipment{To: "ann"}); err != nil {
				return err
			}
			return sold
		})
	}
	fmt.Println(order("parcel-1", nil))
	fmt.Println(order("parcel-2", fmt.Errorf("out of stock")))
	live, err := engine.List(ctx, 10)
	fmt.Println(len(live), live[0].ID, err)
	// Output:
	// <nil>
	// out of stock
	// 1 parcel-1 <nil>
}

// An event is published if and only if the saga went past the node: it is written in the transaction of the record.
func ExamplePublish() {
	outbox := func(_ context.Context, _ data.Tx, events ...data.Event) error { // yours: outbox.Writer
		for _, e := range events {
			fmt.Println(e.Topic, e.Type, e.Key)
		}
		return nil
	}
	send := saga.Define("send-parcel", 1,
		saga.Publish("tell-others", func(p shipment) data.Event {
			return data.Event{Topic: "parcels", Type: "parcel.announced", Key: p.To, Data: []byte(`{}`)}
		}))
	engine, stop, err := start(saga.Config{Publish: outbox}, send)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	run, err := send.Start(context.Background(), engine, "parcel-1", shipment{To: "ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = run.Result(context.Background())
	fmt.Println(err)
	// Output:
	// parcels parcel.announced ann
	// <nil>
}
