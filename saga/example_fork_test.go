package saga_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/marty-framework/mmf/saga"
)

// The card was declined; by now there is money on it. A fork keeps the price that was quoted and goes on from the payment.
func ExampleEngine_Fork() {
	var money atomic.Bool
	type sale struct{ Cents int }
	sell := saga.Define("sell", 1,
		saga.Step("quote", func(saga.Ctx, sale) (int, error) {
			fmt.Println("quote")
			return 4_200, nil
		}).Into(func(s *sale, cents int) { s.Cents = cents }),
		saga.Pivot("pay", func(_ saga.Ctx, s sale) (saga.None, error) {
			if !money.Load() {
				return saga.None{}, saga.Reject("card declined")
			}
			fmt.Println("pay", s.Cents)
			return saga.None{}, nil
		}))
	engine, stop, err := start(saga.Config{}, sell)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	ctx := context.Background()
	run, err := sell.Start(ctx, engine, "sale-1", sale{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = run.Result(ctx)
	fmt.Println(err)

	money.Store(true)
	bob := saga.By{Actor: "bob", Reason: "there is money on the card now"}
	if err := engine.Fork(ctx, "sale-1", "sale-1b", "pay", bob); err != nil {
		fmt.Println(err) // a *ForkError names every reason why it would be unsafe
		return
	}
	fork, err := sell.Find(ctx, engine, "sale-1b")
	if err != nil {
		fmt.Println(err)
		return
	}
	sold, err := fork.Result(ctx)
	fmt.Println(sold.Cents, err)
	// Output:
	// quote
	// saga: sale-1 was compensated: step "pay": card declined
	// pay 4200
	// 4200 <nil>
}
