package datapg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/marty-framework/mmf/data"
)

var (
	errTxDone   = errors.New("datapg: the transaction has ended: a data.Tx must not be used after InTx's function returned")
	errRowsOpen = errors.New("datapg: rows of this transaction are still open: read them to the end or close them first")
)

// tx is the transaction that InTx's function sees.
type tx struct {
	pgx  pgx.Tx
	open *rows
	done bool
	// failed is the first statement's error: the server takes nothing but a rollback after it.
	failed error
}

func (t *tx) Dialect() data.Dialect { return data.Postgres }

// Unwrap returns the pgx.Tx.
func (t *tx) Unwrap() any { return t.pgx }

// usable says why the next statement must not run.
func (t *tx) usable() error {
	switch {
	case t.done:
		return errTxDone
	case t.failed != nil:
		return fmt.Errorf("datapg: an earlier statement failed, so the transaction only awaits its rollback: %w", t.failed)
	case t.open != nil:
		return errRowsOpen
	}
	return nil
}

// fail classifies a statement's error and remembers the first.
func (t *tx) fail(ctx context.Context, err error) error {
	err = classify(ctx, err, t.pgx.Conn().IsClosed(), false)
	if t.failed == nil {
		t.failed = err
	}
	return err
}

func (t *tx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	tag, err := t.pgx.Exec(ctx, sql, args...)
	if err != nil {
		return 0, t.fail(ctx, err)
	}
	return tag.RowsAffected(), nil
}

func (t *tx) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	rs, err := t.pgx.Query(ctx, sql, args...)
	if err != nil {
		return nil, t.fail(ctx, err)
	}
	t.open = &rows{Rows: rs, done: func(err error) error {
		t.open = nil
		if err != nil {
			return t.fail(ctx, err)
		}
		return nil
	}}
	return t.open, nil
}

func (t *tx) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return t.Query(ctx, sql, args...) })
}

// end closes what the function left open, so that the connection is free for COMMIT or ROLLBACK.
func (t *tx) end() {
	if t.open != nil {
		_ = t.open.Close()
	}
	t.done = true
}
