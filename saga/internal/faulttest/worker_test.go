package faulttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

const workerEnv = "MMF_FAULT_WORKER"

// spec tells a worker what to do.
type spec struct {
	Name         string
	Target       string // a DSN, or the path of a SQLite file
	Participants string
	TTL, Grace   time.Duration
	MaxConns     int
	TxConcurrent int
	Starts       []start
	Stay         bool // until SIGTERM; otherwise it ends when the sagas it started have ended
}

type start struct {
	ID string
	order
}

func openStore(ctx context.Context, target string, conns int) (saga.Store, data.DB, error) {
	if !strings.HasPrefix(target, "postgres://") {
		db, err := datasqlite.Open(ctx, datasqlite.Config{Path: target, MustExist: true})
		if err != nil {
			return nil, nil, err
		}
		s, err := sagasqlite.New(ctx, db)
		return s, db, errors.Join(err, closeUnless(err == nil, db))
	}
	db, err := datapg.Open(ctx, datapg.Config{DSN: target, MaxConns: conns, ConnectTimeout: time.Second, CommitTimeout: 2 * time.Second})
	if err != nil {
		return nil, nil, err
	}
	s, err := sagapg.New(ctx, db)
	return s, db, errors.Join(err, closeUnless(err == nil, db))
}

func closeUnless(ok bool, db data.DB) error {
	if ok {
		return nil
	}
	return db.Close()
}

// again repeats what may be repeated: a caller with an id of its own does that with whatever is not a refusal.
func again(ctx context.Context, do func() error) (unknown int, err error) {
	for {
		err := do()
		if errors.Is(err, data.ErrOutcomeUnknown) {
			unknown++
		}
		if err == nil || ctx.Err() != nil || !data.Retryable(err) && !errors.Is(err, data.ErrOutcomeUnknown) && data.KindOf(err) != data.KindFull {
			return unknown, err
		}
		select {
		case <-ctx.Done():
			return unknown, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// work is the worker process.
func work(raw string) error {
	var s spec
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	running, stop := context.WithCancel(ctx)
	defer stop()
	terms := make(chan os.Signal, 2)
	signal.Notify(terms, syscall.SIGTERM)
	go func() {
		<-terms
		stop()
		<-terms
		os.Exit(3) // twice: at once
	}()
	tell := func(ev, id, text string) {
		resp, err := http.PostForm(s.Participants+"/event", url.Values{"worker": {s.Name}, "ev": {ev}, "saga": {id}, "text": {text}})
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	var store saga.Store
	var db data.DB
	if _, err := again(running, func() (err error) { store, db, err = openStore(running, s.Target, s.MaxConns); return err }); err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	def := define(overHTTP(s.Participants, s.Name))
	cfg := saga.Config{Node: s.Name, TTL: s.TTL, Grace: s.Grace, Poll: 10 * time.Millisecond, TxConcurrency: s.TxConcurrent}
	cfg.Hooks.Fenced = func(context.Context, saga.NodeEvent) { tell("fenced", "", "") }
	cfg.Hooks.Recovered = func(_ context.Context, e saga.NodeEvent) { tell("recovered", "", fmt.Sprint(e.Sagas)) }
	cfg.Hooks.Failed = func(_ context.Context, err error) {
		ev := "failed"
		if errors.Is(err, data.ErrOutcomeUnknown) {
			ev = "unknown"
		}
		tell(ev, "", err.Error())
	}
	cfg.Hooks.Attempted = func(_ context.Context, e saga.AttemptEvent) {
		if errors.Is(e.Err, data.ErrOutcomeUnknown) {
			tell("unknown", string(e.ID), e.Step)
		}
	}
	e, err := saga.New(cfg, store, def)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := e.Run(running)
		stop() // which it waited for, unless something is wrong
		ended <- err
	}()
	for !e.Running() && running.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	tell("ready", "", time.Now().UTC().Format(time.RFC3339)) // as its clock says
	var all sync.WaitGroup
	gate := make(chan struct{}, 50)
	for _, one := range s.Starts {
		gate <- struct{}{}
		all.Go(func() {
			defer func() { <-gate }()
			client(running, s, e, def, one, tell)
		})
	}
	all.Wait()
	if !s.Stay {
		stop()
	}
	err = <-ended
	tell("stopped", "", "")
	return err
}

// client starts a saga, knocks, and waits for its end.
func client(running context.Context, s spec, e *saga.Engine, def *saga.Def[order], one start, tell func(ev, id, text string)) {
	var run *saga.Run[order]
	unknown, err := again(running, func() (err error) { run, err = def.Start(running, e, saga.ID(one.ID), one.order); return err })
	if unknown > 0 {
		tell("start-unknown", one.ID, fmt.Sprint(unknown))
	}
	if err != nil {
		if running.Err() == nil {
			tell("bad", one.ID, "start: "+err.Error())
		}
		return
	}
	tell("started", one.ID, "")
	_, err = again(running, func() error { return knock.Send(running, e, saga.ID(one.ID), true, saga.DedupeKey("one")) })
	if err != nil && !errors.Is(err, saga.ErrFinished) && running.Err() == nil {
		tell("bad", one.ID, "knock: "+err.Error())
	}
	if s.Stay {
		return
	}
	_, err = again(running, func() error { _, err := run.Result(running); return err })
	switch {
	case err == nil:
		tell("completed", one.ID, "")
	case errors.As(err, new(*saga.CompensatedError)):
		tell("compensated", one.ID, "")
	case running.Err() == nil:
		tell("bad", one.ID, "result: "+err.Error())
	}
}
