package datapg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/dbtx"
)

// Pauses between runs of a function that met a conflict: random below a bound that doubles.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// rollbackTimeout bounds the wait for the reply to ROLLBACK; without one the connection is dropped, which rolls back.
const rollbackTimeout = 5 * time.Second

// InTx runs fn in a transaction. A serialization failure or a deadlock, at a statement or at COMMIT, runs fn again on a
// fresh transaction, up to [Config.ConflictRetries] times; then the error's kind is [data.KindConflict]. A panic in fn
// rolls back and goes on. Calling the DB with the context that fn got returns [data.ErrNestedTx] instead of taking a
// second connection while holding the first.
func (d *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx data.Tx) error) error {
	bound := firstPause
	for attempt := 0; ; attempt++ {
		conflict, err := d.once(ctx, fn)
		if err == nil || !conflict || attempt >= d.cfg.ConflictRetries {
			return err
		}
		timer := time.NewTimer(rand.N(bound))
		bound = min(2*bound, maxPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, fmt.Errorf("datapg: no further run after a conflict: %w", ctx.Err()))
		}
	}
}

// once runs fn in one transaction. conflict says that the server asked for another run; what fn made of the failed
// statement's error does not matter for that.
func (d *DB) once(ctx context.Context, fn func(ctx context.Context, tx data.Tx) error) (conflict bool, err error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return false, err
	}
	defer c.Release()
	ptx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: d.cfg.Isolation})
	if err != nil {
		return false, fmt.Errorf("datapg: begin: %w", classify(ctx, err, c.Conn().IsClosed(), false))
	}
	t := &tx{pgx: ptx}
	finished := false
	defer func() {
		if !finished { // fn panicked, or its goroutine exits
			t.end()
			rollback(ctx, ptx)
		}
	}()
	err = fn(dbtx.Enter(ctx, d), t)
	finished = true
	t.end()
	switch {
	case err == nil && t.failed != nil:
		err = fmt.Errorf("datapg: rolled back because a statement of the transaction had failed: %w", t.failed)
	case err == nil && ctx.Err() != nil:
		err = fmt.Errorf("datapg: rolled back before the commit: %w", ctx.Err())
	}
	if err != nil {
		rollback(ctx, ptx)
		return data.KindOf(t.failed) == data.KindConflict, err
	}
	err = d.commit(ctx, c, ptx)
	return data.KindOf(err) == data.KindConflict, err
}

// commit distinguishes the three outcomes: committed, refused by the server, unknown.
func (d *DB) commit(ctx context.Context, c *pgxpool.Conn, ptx pgx.Tx) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.CommitTimeout)
	defer cancel()
	if c.Conn().IsClosed() { // lost before, without a statement that noticed
		return &data.Error{Kind: data.KindUnavailable, Code: "08003", Err: errors.New("the connection closed before COMMIT was sent")}
	}
	err := ptx.Commit(ctx)
	var server *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("datapg: %w", err)
	case errors.As(err, &server):
		return fmt.Errorf("datapg: commit: %w", classify(ctx, err, c.Conn().IsClosed(), true))
	default:
		return &data.Error{Kind: data.KindUnknown, Code: "08007", Err: fmt.Errorf("commit: %w", err)}
	}
}

// rollback ends the transaction; when that fails pgx drops the connection, and the server rolls back.
func rollback(ctx context.Context, ptx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_ = ptx.Rollback(ctx)
}
