package saga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// start runs an engine over a store in memory until stop is called.
func start(cfg saga.Config, defs ...saga.Definition) (engine *saga.Engine, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	store, closeStore, err := newStore(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	engine, err = saga.New(cfg, store, defs...)
	ended := make(chan error, 1)
	if err == nil {
		go func() { ended <- engine.Run(ctx) }()
	} else {
		ended <- nil
	}
	return engine, func() { cancel(); _, _ = <-ended, closeStore() }, err
}

// An expense waits for somebody's approval, for two days at most. The waiting saga is a row, and the signal may even come first.
func ExampleAwait() {
	type expense struct{ Cents int }
	type decision struct {
		By string
		OK bool
	}
	decided := saga.NewSignal[decision]("decided")
	claim := saga.Define("claim-expense", 1,
		saga.Await(decided, func(_ *expense, d decision) error {
			if !d.OK {
				return saga.Reject("%s says no", d.By)
			}
			return nil
		}).Within(48*time.Hour),
		saga.Pivot("pay", func(_ saga.Ctx, e expense) (saga.None, error) {
			fmt.Println("pay", e.Cents)
			return saga.None{}, nil
		}))
	engine, stop, err := start(saga.Config{}, claim)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	ctx := context.Background()
	for id, ok := range map[saga.ID]bool{"taxi": true, "yacht": false} {
		run, err := claim.Start(ctx, engine, id, expense{Cents: 4_200})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := decided.Send(ctx, engine, id, decision{By: "bob", OK: ok}, saga.DedupeKey("mail-"+string(id))); err != nil {
			fmt.Println(err) // no such saga, or it has ended
		}
		if _, err = run.Result(ctx); err != nil {
			fmt.Println(err)
		}
	}
	// Unordered output:
	// pay 4200
	// saga: yacht was compensated: step "decided": bob says no
}
