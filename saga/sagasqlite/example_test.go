package sagasqlite_test

import (
	"context"
	"fmt"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

type gift struct{ For, Text string }

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: datasqlite.Memory}) // or the path of a file
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := sagasqlite.New(ctx, db)
	if err != nil {
		fmt.Println(err)
		return
	}
	greet := saga.Define("greet", 1, saga.Step("write", func(_ saga.Ctx, g gift) (string, error) { return "for " + g.For, nil }).
		Into(func(g *gift, text string) { g.Text = text }))
	engine, err := saga.New(saga.Config{}, store, greet)
	if err != nil {
		fmt.Println(err)
		return
	}
	stopped := make(chan error, 1)
	go func() { stopped <- engine.Run(ctx) }()
	run, err := greet.Start(ctx, engine, "gift-1", gift{For: "ann"})
	if err != nil {
		fmt.Println(err)
		return
	}
	done, err := run.Result(ctx)
	fmt.Println(done.Text, err)
	stop()
	fmt.Println(<-stopped, db.Close())
	// Output:
	// for ann <nil>
	// <nil> <nil>
}
