package datasqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
)

var (
	errTxDone   = errors.New("datasqlite: the transaction has ended: a data.Tx must not be used after InTx's function returned")
	errRowsOpen = errors.New("datasqlite: rows of this transaction are still open: read them to the end or close them first")
)

// tx is the transaction that InTx's function sees.
type tx struct {
	conn *conn
	open *rows
	done bool
	// failed is the first statement's error. SQLite itself rolls back on some errors and goes on in autocommit mode,
	// where later statements would commit one by one; so any error dooms the whole, as on Postgres.
	failed error
}

func (t *tx) Dialect() data.Dialect { return data.SQLite }

// Unwrap returns the *sql.Conn that the transaction runs on.
func (t *tx) Unwrap() any { return t.conn.sql }

// usable says why the next statement must not run.
func (t *tx) usable() error {
	switch {
	case t.done:
		return errTxDone
	case t.failed != nil:
		return fmt.Errorf("datasqlite: an earlier statement failed, so the transaction only awaits its rollback: %w", t.failed)
	case t.open != nil:
		return errRowsOpen
	}
	return nil
}

func (t *tx) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if err := t.usable(); err != nil {
		return 0, err
	}
	n, err := t.conn.exec(ctx, sql, args)
	t.failed = err
	return n, err
}

func (t *tx) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	rs, err := t.conn.query(ctx, sql, args)
	if err != nil {
		t.failed = err
		return nil, err
	}
	rs.done = func(err error) error {
		t.open = nil
		if t.failed == nil {
			t.failed = err
		}
		return err
	}
	t.open = rs
	return rs, nil
}

func (t *tx) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return t.Query(ctx, sql, args...) })
}

// end closes what the function left open, so that COMMIT or ROLLBACK finds no running statement.
func (t *tx) end() {
	if t.open != nil {
		_ = t.open.Close()
	}
	t.done = true
}
