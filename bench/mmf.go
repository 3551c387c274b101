package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagaotel"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

type mmfEngine struct {
	db     data.DB
	tel    *observability.Telemetry
	engine *saga.Engine
	def    *saga.Def[order]
	stop   context.CancelFunc
	ran    chan error
	failed atomic.Pointer[error]
}

// openMMF and openMMFOnSQLite do what a service's main does, with every setting left out.
func openMMF(ctx context.Context, dsn string, _ setting) (engine, error) {
	db, store, err := openPostgres(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return startMMF(ctx, db, store)
}

func openMMFOnSQLite(ctx context.Context, path string, _ setting) (engine, error) {
	db, store, err := openSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	return startMMF(ctx, db, store)
}

func openPostgres(ctx context.Context, dsn string) (data.DB, saga.Store, error) {
	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn})
	if err != nil {
		return nil, nil, err
	}
	store, err := sagapg.New(ctx, db)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, store, nil
}

func openSQLite(ctx context.Context, path string) (data.DB, saga.Store, error) {
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: path})
	if err != nil {
		return nil, nil, err
	}
	store, err := sagasqlite.New(ctx, db)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, store, nil
}

func placeOrder() *saga.Def[order] {
	return saga.Define("place-order", 1, mmfStep(0), mmfStep(1), mmfStep(2))
}

func mmfStep(n int) saga.Node[order] {
	return saga.Step(stepNames[n], func(_ saga.Ctx, o order) (string, error) { return doStep(n, o), nil }).
		Undo(func(saga.Ctx, order, string) error { return nil }).
		Into(func(o *order, result string) { o.fold(n, result) })
}

func startMMF(ctx context.Context, db data.DB, store saga.Store) (_ *mmfEngine, err error) {
	m := &mmfEngine{db: db, ran: make(chan error, 1), def: placeOrder()}
	if err := m.instrument(store); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	go func() { m.ran <- m.engine.Run(working) }()
	for until := time.Now().Add(10 * time.Second); !m.engine.Running(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) || ctx.Err() != nil {
			return nil, errors.Join(errors.New("the engine got no lease"), m.close(ctx))
		}
	}
	return m, nil
}

// instrument makes the engine with telemetry on, as it is by default: metrics, and a trace of every saga, which goes through
// the batches to an exporter that sends nothing.
func (m *mmfEngine) instrument(store saga.Store) (err error) {
	m.tel, err = observability.New(observability.Config{Service: "bench", SpanExporters: []sdktrace.SpanExporter{tracetest.NewNoopExporter()}})
	if err != nil {
		return err
	}
	tel, err := sagaotel.New(sagaotel.Config{TracerProvider: m.tel.TracerProvider(), MeterProvider: m.tel.MeterProvider()})
	if err != nil {
		return err
	}
	// The hook is no measurement: a run in which the engine survived an error is not one to compare.
	cfg := saga.Config{Hooks: saga.Hooks{Failed: func(_ context.Context, err error) { m.failed.Store(&err) }}}
	m.engine, err = saga.New(tel.Instrument(cfg), store, m.def)
	return err
}

func (m *mmfEngine) saga(ctx context.Context, o order) (order, error) {
	run, err := m.def.Start(ctx, m.engine, saga.ID(o.ID), o)
	if err != nil {
		return order{}, err
	}
	return run.Result(ctx)
}

func (m *mmfEngine) close(ctx context.Context) error {
	m.stop()
	err := <-m.ran
	if failed := m.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return errors.Join(err, m.db.Close(), m.tel.Shutdown(ctx))
}
