package sagaotel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagaotel"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// A saga that is refused at its second step, as its trace shows it.
func Example() {
	nothing := func(saga.Ctx, order) (saga.None, error) { return saga.None{}, nil }
	def := saga.Define("place-order", 1,
		saga.Step("reserve-stock", nothing).Undo(func(saga.Ctx, order, saga.None) error { return nil }),
		saga.Step("charge", func(saga.Ctx, order) (saga.None, error) { return saga.None{}, saga.Reject("card declined") }),
	)
	spans := tracetest.NewInMemoryExporter()
	tel, err := sagaotel.New(sagaotel.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	store, err := sagasqlite.New(ctx, db)
	if err != nil {
		fmt.Println(err)
		return
	}
	engine, err := saga.New(tel.Instrument(saga.Config{}), store, def)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- engine.Run(ctx) }()

	run, err := def.Start(ctx, engine, "o1", order{Item: "book"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = run.Result(ctx)
	fmt.Println(err)
	stop()
	fmt.Println(<-done)
	for _, span := range spans.GetSpans() {
		fmt.Println("-", span.Name)
	}
	// Unordered output:
	// saga: o1 was compensated: step "charge": card declined
	// <nil>
	// - start place-order
	// - reserve-stock
	// - charge
	// - compensate place-order
	// - undo reserve-stock
	// - place-order
}
