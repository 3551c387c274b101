package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

type purchase struct{ Customer, Receipt string }

// The bank does not answer; somebody looks at its books and tells the sagas what they say.
func ExampleEngine_Bulk() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	dir, _ := os.MkdirTemp("", "")
	defer func() { _ = os.RemoveAll(dir) }()
	db, _ := datasqlite.Open(ctx, datasqlite.Config{Path: filepath.Join(dir, "shop.db")})
	defer func() { _ = db.Close() }()
	store, _ := sagasqlite.New(ctx, db)

	buy := saga.Define("buy", 1,
		saga.Pivot("pay", func(saga.Ctx, purchase) (string, error) { return "", errors.New("the bank is silent") }).
			Into(func(p *purchase, receipt string) { p.Receipt = receipt }).Retry(saga.Retry{Max: 1}),
	).Searchable(func(p purchase) map[string]string { return map[string]string{"customer": p.Customer} })
	engine, err := saga.New(saga.Config{}, store, buy)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = engine.Run(ctx) }()
	run, _ := buy.Start(ctx, engine, "order-17", purchase{Customer: "ann"})
	_, err = run.Result(ctx)
	fmt.Println(err)

	stuck := saga.Filter{State: saga.StateParked, Attributes: map[string]string{"customer": "ann"}}
	paid := saga.Verb{Do: saga.VerbResolve, Step: "pay", Result: json.RawMessage(`"R-1"`)}
	report, err := engine.Bulk(ctx, stuck, paid, saga.By{Actor: "bob", Reason: "the bank's books say so"}, saga.BulkOptions{})
	fmt.Println(report.Matched, report.Applied, err)

	out, err := run.Result(ctx)
	fmt.Println(out.Receipt, err)
	// Output:
	// saga: order-17 is parked at step "pay": the bank is silent; mend the cause, then retry it
	// 1 1 <nil>
	// R-1 <nil>
}
