package datapg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/dbtx"
	"github.com/marty-framework/mmf/internal/sqltext"
)

// DB is a pool of connections to one PostgreSQL database; make one with [Open] or [New]. It is safe for concurrent use.
type DB struct {
	cfg       Config
	pool      *pgxpool.Pool
	sqlDB     *sql.DB
	closeOnce sync.Once
	closeErr  error

	mu       sync.Mutex
	reserved []*DB // closed with this one
	closed   bool
}

var _ data.DB = (*DB)(nil)

// Open connects to the server of cfg.DSN and returns when it has answered once.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	pc, err := cfg.pool()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("datapg: open: %w", classify(ctx, err, false, false))
	}
	db := newDB(pool, cfg)
	if err := db.Ping(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("datapg: open: %w", err)
	}
	return db, nil
}

// New makes a DB of a pool that the caller configured, for settings that [Config] does not have: a tracer, TLS from
// memory, pgbouncer (query mode and timeouts). Of cfg only CommitTimeout, Isolation and ConflictRetries count. The pool
// belongs to the DB: Close closes it.
func New(pool *pgxpool.Pool, cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	cfg.MaxConns = int(pool.Config().MaxConns)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.DSN = ""
	return newDB(pool, cfg), nil
}

func newDB(pool *pgxpool.Pool, cfg Config) *DB {
	return &DB{cfg: cfg, pool: pool, sqlDB: stdlib.OpenDBFromPool(pool)}
}

// Dialect returns [data.Postgres].
func (d *DB) Dialect() data.Dialect { return data.Postgres }

// Pool returns pgx's pool. It is closed with the DB.
func (d *DB) Pool() *pgxpool.Pool { return d.pool }

// SQLDB returns a database/sql view of the same pool for tools that need one, such as migrations. It is closed with the
// DB; do not close it.
func (d *DB) SQLDB() *sql.DB { return d.sqlDB }

// acquire takes a connection for one statement or transaction.
func (d *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if dbtx.Inside(ctx, d) {
		return nil, fmt.Errorf("datapg: %w", data.ErrNestedTx)
	}
	c, err := d.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("datapg: connection: %w", classify(ctx, err, false, false))
	}
	return c, nil
}

// Exec runs a statement that commits by itself.
func (d *DB) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Release()
	tag, err := c.Exec(ctx, sql, args...)
	if err != nil {
		return 0, classify(ctx, err, c.Conn().IsClosed(), !sqltext.ReadOnly(sql))
	}
	return tag.RowsAffected(), nil
}

// Query runs a statement that commits by itself. The rows hold a connection until they are closed or read to the end.
func (d *DB) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	c, err := d.acquire(ctx)
	if err != nil {
		return nil, err
	}
	writes := !sqltext.ReadOnly(sql)
	rs, err := c.Query(ctx, sql, args...)
	if err != nil {
		err = classify(ctx, err, c.Conn().IsClosed(), writes)
		c.Release()
		return nil, err
	}
	return &rows{Rows: rs, done: func(err error) error {
		err = classify(ctx, err, c.Conn().IsClosed(), writes)
		c.Release()
		return err
	}}, nil
}

// QueryRow is [DB.Query] for at most one row; nothing runs before Scan.
func (d *DB) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return d.Query(ctx, sql, args...) })
}

// Ping asks the server for a reply.
func (d *DB) Ping(ctx context.Context) error {
	c, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	if err := c.Ping(ctx); err != nil {
		return fmt.Errorf("datapg: ping: %w", classify(ctx, err, c.Conn().IsClosed(), false))
	}
	return nil
}

// Close waits for transactions and open rows, then closes every connection. It may be called repeatedly.
func (d *DB) Close() error {
	d.closeOnce.Do(func() {
		if err := d.sqlDB.Close(); err != nil {
			d.closeErr = errors.Join(errors.New("datapg: close"), err)
		}
		d.closeErr = errors.Join(d.closeErr, d.closeReserved())
		d.pool.Close()
	})
	return d.closeErr
}
