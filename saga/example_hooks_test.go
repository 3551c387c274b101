package saga_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/marty-framework/mmf/saga"
)

// Log lines need no more than this; sagaotel makes hooks for traces and metrics, JoinHooks one set of several.
func ExampleLogHooks() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "took" {
			return slog.Attr{} // the same on every run
		}
		return a
	}}))
	send := saga.Define("send-parcel", 1, saga.Step("pack", func(saga.Ctx, shipment) (saga.None, error) {
		return saga.None{}, saga.Reject("no box is large enough")
	}))
	hooks := saga.LogHooks(logger)
	hooks.Recovered = nil // any hook can be left out
	engine, stop, err := start(saga.Config{Hooks: hooks}, send)
	if err != nil {
		fmt.Println(err)
		return
	}
	run, err := send.Start(context.Background(), engine, "parcel-1", shipment{To: "ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = run.Result(context.Background())
	stop()
	// Output:
	// level=INFO msg="saga step" saga=send-parcel saga_id=parcel-1 step=pack direction=do attempt=1 outcome=rejected error="saga: rejected: no box is large enough"
	// level=WARN msg="saga compensates" saga=send-parcel saga_id=parcel-1 step=pack reason="no box is large enough"
	// level=INFO msg="saga finished" saga=send-parcel saga_id=parcel-1 outcome=compensated step=pack reason="no box is large enough"
}

// Census counts what this process works for; sagaotel shows it as gauges.
func ExampleEngine_Census() {
	send := saga.Define("send-parcel", 1, saga.Pivot("hand-over", func(saga.Ctx, shipment) (saga.None, error) {
		return saga.None{}, fmt.Errorf("the courier does not know the address")
	}).Retry(saga.Retry{Max: 1}))
	engine, stop, err := start(saga.Config{}, send)
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
	_, _ = run.Result(context.Background()) // parked

	counts, err := engine.Census(context.Background())
	fmt.Println(counts[0].Saga, "parked:", counts[0].Parked, err)
	// Output: send-parcel parked: 1 <nil>
}
