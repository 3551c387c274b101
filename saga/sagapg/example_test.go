package sagapg_test

import (
	"context"
	"fmt"
	"os"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

type gift struct{ For, Text string }

func Example() {
	greet := saga.Define("greet", 1, saga.Step("write", func(_ saga.Ctx, g gift) (string, error) { return "for " + g.For, nil }).
		Into(func(g *gift, text string) { g.Text = text }))
	send := func(dsn string) error {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		db, err := datapg.Open(ctx, datapg.Config{DSN: dsn})
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		store, err := sagapg.New(ctx, db)
		if err != nil {
			return err
		}
		engine, err := saga.New(saga.Config{}, store, greet)
		if err != nil {
			return err
		}
		go func() { _ = engine.Run(ctx) }()
		run, err := greet.Start(ctx, engine, "gift-1", gift{For: "ann"})
		if err != nil {
			return err
		}
		done, err := run.Result(ctx)
		fmt.Println(done.Text)
		return err
	}
	if dsn := os.Getenv("SHOP_DSN"); dsn != "" { // set it to see a saga run
		fmt.Println(send(dsn))
	}
	fmt.Println(data.KindOf(send("postgres://app@127.0.0.1:1/shop?sslmode=disable"))) // nobody listens there
	// Output: unavailable
}
