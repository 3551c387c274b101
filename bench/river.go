package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// riverEngine runs the saga as a chain of jobs that carry the state. A job completes, and inserts its successor, in one
// transaction; the last one tells the caller in memory.
type riverEngine struct {
	pool    *pgxpool.Pool
	client  *river.Client[pgx.Tx]
	waiting sync.Map // saga id → chan order
}

// riverSettings: an idle client must fetch at once, so one saga at a time wants the shortest pause that River allows, or each
// job waits for the next poll. With many in flight a longer one fetches more jobs at once.
func riverSettings(inFlight int) []setting {
	if inFlight == 1 {
		return []setting{{connections: 10, cooldown: time.Millisecond}}
	}
	var all []setting
	for _, s := range pools(20, 10, 40) {
		s.cooldown = 20 * time.Millisecond
		all = append(all, s)
	}
	return append(all, setting{connections: 20, cooldown: time.Millisecond}, setting{connections: 20, cooldown: 50 * time.Millisecond})
}

type chainArgs struct {
	Order order `json:"order"`
	Step  int   `json:"step"`
}

// Kind names the job.
func (chainArgs) Kind() string { return "step" }

type chainWorker struct {
	river.WorkerDefaults[chainArgs]
	e *riverEngine
}

// Work does one step.
func (w *chainWorker) Work(ctx context.Context, job *river.Job[chainArgs]) error {
	o, n := job.Args.Order, job.Args.Step
	o.fold(n, doStep(n, o))
	err := pgx.BeginFunc(ctx, w.e.pool, func(tx pgx.Tx) error {
		if n+1 < len(stepNames) {
			if _, err := w.e.client.InsertTx(ctx, tx, chainArgs{o, n + 1}, nil); err != nil {
				return err
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if err == nil && n+1 == len(stepNames) {
		if ch, ok := w.e.waiting.LoadAndDelete(o.ID); ok {
			ch.(chan order) <- o
		}
	}
	return err
}

func openRiver(ctx context.Context, dsn string, s setting) (engine, error) {
	pool, err := openPool(ctx, dsn, s.connections)
	if err != nil {
		return nil, err
	}
	e := &riverEngine{pool: pool}
	if err := e.start(ctx, s.cooldown); err != nil {
		pool.Close()
		return nil, err
	}
	return e, nil
}

func (e *riverEngine) start(ctx context.Context, cooldown time.Duration) error {
	driver := riverpgxv5.New(e.pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &chainWorker{e: e}); err != nil {
		return err
	}
	e.client, err = river.NewClient(driver, &river.Config{
		FetchCooldown: cooldown, FetchPollInterval: time.Second, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 100}},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	return e.client.Start(context.WithoutCancel(ctx))
}

func (e *riverEngine) saga(ctx context.Context, o order) (order, error) {
	ended := make(chan order, 1)
	e.waiting.Store(o.ID, ended)
	if _, err := e.client.Insert(ctx, chainArgs{o, 0}, nil); err != nil {
		return o, err
	}
	select {
	case o = <-ended:
		return o, nil
	case <-ctx.Done():
		return o, context.Cause(ctx)
	}
}

func (e *riverEngine) close(ctx context.Context) error {
	err := e.client.Stop(ctx)
	e.pool.Close()
	return errors.Join(err, ctx.Err())
}
