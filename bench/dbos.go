package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// dbosEngine runs the saga as a DBOS workflow with three steps, started and awaited in this process.
type dbosEngine struct{ root dbos.Context }

func openDBOS(ctx context.Context, dsn string) (engine, error) {
	root, err := dbos.NewContext(context.WithoutCancel(ctx), dbos.Config{
		AppName: "bench", DatabaseURL: dsn,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), // its default prints every launch
	})
	if err != nil {
		return nil, err
	}
	dbos.RegisterWorkflow(root, dbosWorkflow)
	if err := dbos.Launch(root); err != nil {
		_ = dbos.Shutdown(root, time.Second)
		return nil, err
	}
	return &dbosEngine{root}, nil
}

func dbosWorkflow(ctx dbos.Context, o order) (order, error) {
	for n, name := range stepNames {
		now := o
		result, err := dbos.RunAsStep(ctx, func(context.Context) (string, error) { return doStep(n, now), nil }, dbos.WithStepName(name))
		if err != nil {
			return o, err
		}
		o.fold(n, result)
	}
	return o, nil
}

func (d *dbosEngine) saga(_ context.Context, o order) (order, error) {
	h, err := dbos.RunWorkflow(d.root, dbosWorkflow, o, dbos.WithWorkflowID(o.ID))
	if err != nil {
		return o, err
	}
	return h.GetResult()
}

func (d *dbosEngine) close(context.Context) error { return dbos.Shutdown(d.root, 20*time.Second) }
