package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// naive keeps a row per saga that says how far it is, and a row per step with its result: one transaction for the start and
// one for each step. It could be recovered after a crash; it has no compensation, leases or timers to pay for.
type naive struct{ pool *pgxpool.Pool }

func openPool(ctx context.Context, dsn string, connections int) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(connections)
	return pgxpool.NewWithConfig(ctx, cfg)
}

func openNaive(ctx context.Context, dsn string, s setting) (engine, error) {
	pool, err := openPool(ctx, dsn, s.connections)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, `create table naive_saga (id text primary key, input jsonb not null, step int not null);
		create table naive_step (saga text, n int, result jsonb not null, primary key (saga, n))`)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &naive{pool}, nil
}

func (n *naive) saga(ctx context.Context, o order) (order, error) {
	if _, err := n.pool.Exec(ctx, `insert into naive_saga (id, input, step) values ($1, $2, 0)`, o.ID, o); err != nil {
		return o, err
	}
	for i := range stepNames {
		result := doStep(i, o)
		err := pgx.BeginFunc(ctx, n.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `insert into naive_step (saga, n, result) values ($1, $2, to_jsonb($3::text))`, o.ID, i, result)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `update naive_saga set step = $2 where id = $1`, o.ID, i+1)
			return err
		})
		if err != nil {
			return o, err
		}
		o.fold(i, result)
	}
	return o, nil
}

func (n *naive) close(context.Context) error {
	n.pool.Close()
	return nil
}
