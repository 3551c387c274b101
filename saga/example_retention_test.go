package saga_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/saga"
)

// Sagas that have ended are remembered for ever, unless the configuration says for how long. A node then forgets in the
// background; an operator can do it now.
func ExampleRetention() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	greet := saga.Define("greet", 1, saga.Step("greet", func(_ saga.Ctx, name string) (string, error) { return "hello " + name, nil }))

	store, closeDB, err := newStore(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = closeDB() }()
	engine, err := saga.New(saga.Config{Retention: saga.Retention{Keep: 30 * 24 * time.Hour}}, store, greet)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = engine.Run(ctx) }()
	run, err := greet.Start(ctx, engine, "greet-ann", "ann")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := run.Result(ctx); err != nil {
		fmt.Println(err)
		return
	}

	time.Sleep(10 * time.Millisecond)                    // let it grow old
	purged, err := engine.Purge(ctx, 5*time.Millisecond) // an operator who wants everything gone that ended
	fmt.Println(purged.Sagas, err)
	_, err = greet.Find(ctx, engine, "greet-ann")
	fmt.Println(errors.Is(err, saga.ErrNotFound))
	// Output:
	// 1 <nil>
	// true
}
