package sagatest_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// What does a start cost? In a test, MaxRoundTrips fails when it becomes more.
func ExampleCountTrips() {
	ctx := context.Background()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	trips := sagatest.CountTrips(db)
	store, err := sagasqlite.New(ctx, trips)
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := saga.Define("greet", 1, saga.Step("greet", func(saga.Ctx, string) (saga.None, error) { return saga.None{}, nil }))
	engine, err := saga.New(saga.Config{}, store, greet)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := engine.Register(ctx); err != nil {
		fmt.Println(err)
		return
	}
	before := trips.Count()
	_, err = greet.Start(ctx, engine, "greet-ann", "ann")
	fmt.Println(trips.Count()-before <= 8, err)
	// Output: true <nil>
}
