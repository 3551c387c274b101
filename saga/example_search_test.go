package saga_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

type shipment struct{ To string }

// What operators see: a page of sagas found by attribute, without reading journals, and everything about one.
func ExampleEngine_Search() {
	send := saga.Define("send-parcel", 1, saga.Step("pack", func(saga.Ctx, shipment) (saga.None, error) {
		return saga.None{}, saga.Reject("no box is large enough")
	})).Searchable(func(p shipment) map[string]string { return map[string]string{"to": p.To} })
	engine, stop, err := start(saga.Config{}, send)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()
	ctx := context.Background()
	run, err := send.Start(ctx, engine, "parcel-1", shipment{To: "ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, _ = run.Result(ctx)

	page, err := engine.Search(ctx, saga.Filter{Attributes: map[string]string{"to": "ann"}}, "", 100)
	for _, s := range page.Sagas {
		fmt.Println(s.ID, s.State, s.Step, s.Reason)
	}
	fmt.Println(page.Next == "", err)

	d, err := engine.Show(ctx, "parcel-1")
	for _, r := range d.Journal {
		fmt.Printf("%d %s %q\n", r.Seq, r.Kind, r.Node)
	}
	fmt.Println(d.Steps[0].Name, d.Steps[0].Status, err)
	// Output:
	// parcel-1 compensated pack no box is large enough
	// true <nil>
	// 1 started ""
	// 2 rejected "pack"
	// pack rejected <nil>
}
