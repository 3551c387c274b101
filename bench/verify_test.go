package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
)

// forgetful acknowledges sagas and writes down some of them.
type forgetful struct {
	engine
	n int
}

func (f *forgetful) saga(ctx context.Context, o order) (order, error) {
	if f.n++; f.n%3 == 0 {
		return finished(o), nil
	}
	return f.engine.saga(ctx, o)
}

func TestAnEngineThatForgetsASagaHasNoFigure(t *testing.T) {
	for _, name := range []string{"naive", "mmf", "dbos", "river", "ceiling", "mmf-sqlite", "dbos-sqlite"} {
		t.Run(name, func(t *testing.T) {
			c := contenderNamed(t, name)
			l := laboratory(t, c)
			honest := c.open
			c.open = func(ctx context.Context, dsn string, s setting) (engine, error) {
				e, err := honest(ctx, dsn, s)
				return &forgetful{engine: e}, err
			}
			_, err := measure(t.Context(), l, trial{contender: c, inFlight: 1, used: c.first(1), load: load{measure: 500 * time.Millisecond}})
			require.ErrorContains(t, err, "sagas were acknowledged, but the database holds")
		})
	}
}

// wrong ends every saga in a state that no saga should have.
type wrong struct{}

func (wrong) saga(_ context.Context, o order) (order, error) { return o, nil }
func (wrong) close(context.Context) error                    { return nil }

func TestAnEngineWithAWrongResultHasNoFigure(t *testing.T) {
	t.Parallel()
	_, _, err := drive(t.Context(), wrong{}, 2, load{measure: time.Minute})
	require.ErrorContains(t, err, "ended with")
}

func TestARecordTooManyIsNoticed(t *testing.T) {
	t.Parallel()
	dsn := server(t)
	require.NoError(t, counted(4, "select 2, 8")(t.Context(), dsn, 2))
	require.Error(t, counted(4, "select 2, 9")(t.Context(), dsn, 2))
	require.Error(t, counted(4, "select 2, 8")(t.Context(), dsn, 3))
}

func TestAJournalWithAFaultHasNoFigure(t *testing.T) {
	t.Parallel()
	for fault, c := range map[string]struct{ sql, want string }{
		"nothing wrong":         {"select 1", ""},
		"a saga is live":        {"insert into saga_active (uid, lane) select uid, lane from saga_key limit 1", "is still live"},
		"a saga is missing":     {"delete from saga_key where id = (select min(id) from saga_key)", "5 sagas were acknowledged, but the database holds 4"},
		"an end is missing":     {"delete from saga_journal where seq = 4", "step book-courier has 0 results"},
		"a step is missing":     {"delete from saga_journal where seq = 3", "record 3 has number 4"},
		"a journal is missing":  {"delete from saga_journal", "step authorise-payment has 0 results"},
		"a result is another's": {"update saga_journal set body = replace(body, 'stock-', 'stork-')", "it leads to"},
		"an end is not an end":  {"update saga_journal set body = replace(body, 'completed', '')", "it does not end with completion"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/bench.db"
			e, err := openMMFOnSQLite(t.Context(), path, setting{})
			require.NoError(t, err)
			for n := range int64(5) {
				_, err := e.saga(t.Context(), order{ID: orderID(0, n), Cents: 4200})
				require.NoError(t, err)
			}
			require.NoError(t, e.close(t.Context()))
			db, _, err := openSQLite(t.Context(), path)
			require.NoError(t, err)
			require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
				_, err := tx.Exec(ctx, c.sql)
				return err
			}))
			require.NoError(t, db.Close())
			err = verifyMMF(openSQLite)(t.Context(), path, 5)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestWhoStaysConnectedHasNoFigure(t *testing.T) {
	c := contenderNamed(t, "naive")
	l := laboratory(t, c)
	honest := c.open
	var left *pgx.Conn
	c.open = func(ctx context.Context, dsn string, s setting) (engine, error) {
		e, err1 := honest(ctx, dsn, s)
		conn, err2 := pgx.Connect(ctx, dsn)
		left = conn
		return e, errors.Join(err1, err2)
	}
	_, err := measure(t.Context(), l, trial{contender: c, inFlight: 1, used: setting{connections: 2}, load: load{measure: 100 * time.Millisecond}})
	require.ErrorContains(t, err, "1 connections are still open")
	_ = left.Close(context.WithoutCancel(t.Context())) // the server has closed it with the database
}
