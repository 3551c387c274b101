package saga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/saga"
)

type Invoice struct {
	Customer string
	Number   int
}

// At most ten invoices are sent at once and a hundred in a second, by all processes of the service together, and those of one
// customer one after the other.
func ExampleNewQueue() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, closeStore, err := newStore(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	invoices := saga.NewQueue("invoices", saga.QueueConfig{Concurrency: 10, Rate: saga.Per(100, time.Second)})
	send := saga.Define("send-invoice", 1, saga.Step("send", func(_ saga.Ctx, i Invoice) (saga.None, error) {
		fmt.Println("to", i.Customer+":", i.Number)
		return saga.None{}, nil
	}))
	engine, err := saga.New(saga.Config{Queues: []*saga.Queue{invoices}}, store, send)
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()

	var last *saga.Run[Invoice]
	for n := 1; n <= 3; n++ { // durable when Start returns; sent when the queue admits it
		id := saga.ID(fmt.Sprintf("invoice-%d", n))
		last, err = send.Start(ctx, engine, id, Invoice{"ann", n}, saga.In(invoices).Key("ann"))
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	_, err = last.Result(ctx)
	fmt.Println("the last one is sent:", err == nil)
	stop()
	fmt.Println(<-ended, closeStore())
	// Output:
	// to ann: 1
	// to ann: 2
	// to ann: 3
	// the last one is sent: true
	// <nil> <nil>
}
