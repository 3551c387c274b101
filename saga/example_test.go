package saga_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// newStore opens a store in memory; a service passes the path of a file, or uses sagapg.
func newStore(ctx context.Context) (saga.Store, func() error, error) {
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		return nil, nil, err
	}
	store, err := sagasqlite.New(ctx, db)
	return store, db.Close, err
}

// readme:begin saga

// Order is the state of the saga: it is folded from the results of the steps.
type Order struct {
	Pet     string
	Cents   int64
	Payment string
}

func placeOrder(courier func(saga.Ctx, Order) (saga.None, error)) *saga.Def[Order] {
	reserve := saga.Step("reserve-pet", func(_ saga.Ctx, o Order) (saga.None, error) {
		fmt.Println("reserve", o.Pet)
		return saga.None{}, nil
	}).Undo(func(_ saga.Ctx, o Order, _ saga.None) error {
		fmt.Println("release", o.Pet)
		return nil
	})
	pay := saga.Step("pay", func(c saga.Ctx, o Order) (string, error) {
		fmt.Println("charge", o.Cents) // pass c.Key() on: a repetition bears the same key
		return "payment-1", nil
	}).Undo(func(_ saga.Ctx, o Order, payment string) error {
		fmt.Println("refund", payment)
		return nil
	}).Into(func(o *Order, payment string) { o.Payment = payment })

	book := saga.Step("book-courier", courier).Undo(func(c saga.Ctx, o Order, _ saga.None) error {
		fmt.Println("cancel the courier, if there is one:", c.ResultKnown()) // an outcome may be unknown
		return nil
	})
	return saga.Define("place-order", 1, reserve, pay, book)
}

// readme:end saga

// readme:begin run

func buy(ctx context.Context, store saga.Store, placeOrder *saga.Def[Order]) error {
	engine, err := saga.New(saga.Config{}, store, placeOrder) // store: sagapg or sagasqlite
	if err != nil {
		return err // all that is wrong with the definitions, at once
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	defer func() { stop(); fmt.Println("stopped:", <-ended) }()

	run, err := placeOrder.Start(ctx, engine, "order-17", Order{Pet: "Buddy", Cents: 120_000})
	if err != nil {
		return err // the same id with another input, or no database
	}
	order, err := run.Result(ctx)
	if compensated := (*saga.CompensatedError)(nil); errors.As(err, &compensated) {
		fmt.Printf("compensated because of %s: %s\n", compensated.Step, compensated.Reason)
		return nil
	}
	fmt.Println("paid with", order.Payment)
	return err
}

// readme:end run

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, closeStore, err := newStore(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	full := placeOrder(func(saga.Ctx, Order) (saga.None, error) {
		return saga.None{}, saga.Reject("no courier goes there")
	})
	if err := buy(ctx, store, full); err != nil {
		fmt.Println(err)
	}
	stop()
	fmt.Println(closeStore())
	// Output:
	// reserve Buddy
	// charge 120000
	// refund payment-1
	// release Buddy
	// compensated because of book-courier: no courier goes there
	// stopped: <nil>
	// <nil>
}

func ExampleDef_Err() {
	buy := saga.Pivot("buy", func(saga.Ctx, Order) (saga.None, error) { return saga.None{}, nil })
	wrap := saga.Step("wrap", func(saga.Ctx, Order) (saga.None, error) { return saga.None{}, nil })
	def := saga.Define("gift", 1, buy, wrap, saga.Parallel[Order]("cards"))
	fmt.Println(def.Err())
	// Output:
	// saga: definition "gift" version 1: "cards" is an empty group
	// "wrap" is compensatable and stands behind the pivot "buy"; make it retriable or move it before
}
