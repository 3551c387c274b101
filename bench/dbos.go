package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // its documented way to allow SQLite
)

// dbosEngine runs the saga as a DBOS workflow with three steps, started and awaited in this process.
type dbosEngine struct {
	root dbos.Context
	own  *sql.DB // on SQLite
}

func openDBOS(ctx context.Context, dsn string, s setting) (engine, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Set("pool_max_conns", strconv.Itoa(s.connections))
	u.RawQuery = q.Encode()
	return launchDBOS(ctx, dbos.Config{DatabaseURL: u.String()}, nil)
}

// sqliteConnections are pool sizes to try; 8 is what DBOS takes by itself.
func sqliteConnections(inFlight int) []setting {
	if inFlight == 1 {
		return pools(8)
	}
	return pools(8, 2, 1)
}

// openDBOSOnSQLite opens the file as DBOS does by itself, but for how far a commit must have got when it returns: FULL
// survives a loss of power, as MMF's commits and PostgreSQL's do; NORMAL, what DBOS takes, survives the end of the process.
func openDBOSOnSQLite(synchronous string) func(context.Context, string, setting) (engine, error) {
	return func(ctx context.Context, path string, s setting) (engine, error) {
		db, err := sql.Open("sqlite", path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"+
			"&_pragma=foreign_keys(ON)&_pragma=synchronous("+synchronous+")")
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(s.connections)
		db.SetMaxIdleConns(s.connections)
		return launchDBOS(ctx, dbos.Config{SQLiteSystemDB: db}, db)
	}
}

func launchDBOS(ctx context.Context, cfg dbos.Config, own *sql.DB) (_ engine, err error) {
	defer func() {
		if err != nil && own != nil {
			err = errors.Join(err, own.Close())
		}
	}()
	cfg.AppName = "bench"
	// Its default prints every launch.
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	root, err := dbos.NewContext(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, err
	}
	dbos.RegisterWorkflow(root, dbosWorkflow)
	if err := dbos.Launch(root); err != nil {
		return nil, errors.Join(err, dbos.Shutdown(root, time.Second))
	}
	return &dbosEngine{root, own}, nil
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

func (d *dbosEngine) close(context.Context) error {
	err := dbos.Shutdown(d.root, 20*time.Second)
	if d.own != nil {
		err = errors.Join(err, d.own.Close())
	}
	return err
}
