package datasqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/dbtx"
	"github.com/marty-framework/mmf/internal/sqltext"
)

var errClosed = errors.New("datasqlite: the database is closed")

// DB is an open SQLite file; make one with [Open]. It is safe for concurrent use.
type DB struct {
	path    string
	sqlDB   *sql.DB
	writer  pool
	readers pool
	// broken holds the disk error after which nothing more may be written.
	broken    atomic.Pointer[error]
	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	cleanup   func() error
}

var _ data.DB = (*DB)(nil)

// Dialect returns [data.SQLite].
func (d *DB) Dialect() data.Dialect { return data.SQLite }

// Path returns the absolute path of the database file.
func (d *DB) Path() string { return d.path }

// SQLDB returns a *sql.DB over the same file for tools that need database/sql, such as migrations. Its transactions
// take SQLite's write lock at their beginning and compete with the DB's own writer for at most [Config.BusyTimeout].
// It is closed with the DB; do not close it.
func (d *DB) SQLDB() *sql.DB { return d.sqlDB }

// Exec runs a statement in a transaction of its own.
func (d *DB) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	var n int64
	err := d.InTx(ctx, func(ctx context.Context, tx data.Tx) (err error) {
		n, err = tx.Exec(ctx, sql, args...)
		return err
	})
	return n, err
}

// Query runs a statement. One that only reads runs on a reading connection and sees the last committed state; one that
// writes (INSERT … RETURNING) runs in a transaction of its own, which holds the writer until the rows are closed and
// whose failed commit is what the rows' Err and Close return.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	if dbtx.Inside(ctx, d) {
		return nil, fmt.Errorf("datasqlite: query: %w", data.ErrNestedTx)
	}
	if sqltext.ReadOnly(sql) {
		c, err := d.readers.take(ctx, d.closing)
		if err != nil {
			return nil, err
		}
		rs, err := c.query(ctx, sql, args)
		if err != nil {
			d.readers.give(c)
			return nil, err
		}
		rs.done = func(err error) error { d.readers.give(c); return err }
		return rs, nil
	}
	c, err := d.begin(ctx)
	if err != nil {
		return nil, err
	}
	rs, err := c.query(ctx, sql, args)
	if err != nil {
		return nil, errors.Join(err, d.finish(ctx, c, false))
	}
	rs.done = func(err error) error { return errors.Join(err, d.finish(ctx, c, err == nil)) }
	return rs, nil
}

// QueryRow is [DB.Query] for at most one row; nothing runs before Scan.
func (d *DB) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return d.Query(ctx, sql, args...) })
}

// InTx runs fn in a transaction that holds the file's one write lock from its beginning. It waits for other writers of
// this process until ctx ends. fn runs once: with one writer there are no conflicts. A panic in fn rolls back and goes
// on. Calling the DB with the context that fn got returns [data.ErrNestedTx] instead of waiting for itself forever.
func (d *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx data.Tx) error) error {
	if dbtx.Inside(ctx, d) {
		return fmt.Errorf("datasqlite: begin: %w", data.ErrNestedTx)
	}
	c, err := d.begin(ctx)
	if err != nil {
		return err
	}
	t := &tx{conn: c}
	finished := false
	defer func() {
		if !finished { // fn panicked, or its goroutine exits
			t.end()
			_ = d.finish(ctx, c, false)
		}
	}()
	err = fn(dbtx.Enter(ctx, d), t)
	finished = true
	t.end()
	switch {
	case err == nil && t.failed != nil:
		err = fmt.Errorf("datasqlite: rolled back because a statement of the transaction had failed: %w", t.failed)
	case err == nil && ctx.Err() != nil:
		err = fmt.Errorf("datasqlite: rolled back before the commit: %w", ctx.Err())
	}
	if err != nil {
		_ = d.finish(ctx, c, false) // a rollback that fails leaves nothing committed; err says why we are here
		return err
	}
	return d.finish(ctx, c, true)
}

// begin takes the writer and the file's write lock.
func (d *DB) begin(ctx context.Context) (*conn, error) {
	c, err := d.writer.take(ctx, d.closing)
	if err != nil {
		return nil, err
	}
	if cause := d.broken.Load(); cause != nil {
		d.writer.give(c)
		return nil, &data.Error{
			Kind: data.KindUnavailable, Code: "MMF_BROKEN",
			Err: fmt.Errorf("a disk error happened before, so nothing more is written until %s is opened again: %w", d.path, *cause),
		}
	}
	if err := c.control(ctx, "begin immediate"); err != nil {
		// When ctx ends just now the driver may report that although the transaction has begun.
		_ = c.control(context.WithoutCancel(ctx), "rollback")
		d.writer.give(c)
		return nil, fmt.Errorf("datasqlite: begin: %w", err)
	}
	return c, nil
}

// finish commits or rolls back and gives the writer back. Both are local and short, so the caller's cancellation, which
// would leave the outcome open, does not reach them.
func (d *DB) finish(ctx context.Context, c *conn, commit bool) error {
	defer d.writer.give(c)
	ctx = context.WithoutCancel(ctx)
	if !commit {
		// "no transaction is active" says that SQLite rolled back by itself: that is what was wanted.
		_ = c.control(ctx, "rollback")
		return nil
	}
	err := c.control(ctx, "commit")
	if err == nil {
		return nil
	}
	_ = c.control(ctx, "rollback")
	if ioError(err) {
		d.broken.Store(&err)
		return &data.Error{Kind: data.KindUnknown, Code: "SQLITE_IOERR", Err: fmt.Errorf("commit: %w", err)}
	}
	return fmt.Errorf("datasqlite: commit: %w", err)
}

// Ping reads from the file.
func (d *DB) Ping(ctx context.Context) error {
	if cause := d.broken.Load(); cause != nil {
		return fmt.Errorf("datasqlite: ping: refusing to write after a disk error: %w", *cause)
	}
	var n int
	if err := d.QueryRow(ctx, "select count(*) from sqlite_schema").Scan(&n); err != nil {
		return fmt.Errorf("datasqlite: ping: %w", err)
	}
	return nil
}

// Close waits for transactions and open rows, then closes the file. Waiting calls and later ones fail. It may be called
// repeatedly.
func (d *DB) Close() error {
	d.closeOnce.Do(func() {
		close(d.closing)
		var errs []error
		for _, p := range []pool{d.readers, d.writer} {
			for range cap(p.free) {
				errs = append(errs, (<-p.free).close())
			}
		}
		errs = append(errs, d.sqlDB.Close())
		if d.cleanup != nil {
			errs = append(errs, d.cleanup())
		}
		if err := errors.Join(errs...); err != nil {
			d.closeErr = fmt.Errorf("datasqlite: close: %w", err)
		}
	})
	return d.closeErr
}
