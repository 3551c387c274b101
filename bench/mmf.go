package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

type mmfEngine struct {
	db     *datapg.DB
	engine *saga.Engine
	def    *saga.Def[order]
	stop   context.CancelFunc
	ran    chan error
	failed atomic.Pointer[error]
}

// openMMF is what a service's main does, with every setting left out.
func openMMF(ctx context.Context, dsn string) (engine, error) {
	m := &mmfEngine{ran: make(chan error, 1), def: saga.Define("place-order", 1, mmfStep(0), mmfStep(1), mmfStep(2))}
	var err error
	if m.db, err = datapg.Open(ctx, datapg.Config{DSN: dsn}); err != nil {
		return nil, err
	}
	store, err := sagapg.New(ctx, m.db)
	if err != nil {
		return nil, errors.Join(err, m.db.Close())
	}
	// The hook is no measurement: a run in which the engine survived an error is not one to compare.
	m.engine, err = saga.New(saga.Config{Hooks: saga.Hooks{Failed: func(_ context.Context, err error) { m.failed.Store(&err) }}}, store, m.def)
	if err != nil {
		return nil, errors.Join(err, m.db.Close())
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

func mmfStep(n int) saga.Node[order] {
	return saga.Step(stepNames[n], func(_ saga.Ctx, o order) (string, error) { return doStep(n, o), nil }).
		Undo(func(saga.Ctx, order, string) error { return nil }).
		Into(func(o *order, result string) { o.fold(n, result) })
}

func (m *mmfEngine) saga(ctx context.Context, o order) (order, error) {
	run, err := m.def.Start(ctx, m.engine, saga.ID(o.ID), o)
	if err != nil {
		return order{}, err
	}
	return run.Result(ctx)
}

func (m *mmfEngine) close(context.Context) error {
	m.stop()
	err := <-m.ran
	if failed := m.failed.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	return errors.Join(err, m.db.Close())
}
