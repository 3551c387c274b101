package data

import "context"

// Dialect names the SQL engine behind a [DB] or [Tx], for the few statements that cannot be written portably.
type Dialect string

// The engines that MMF ships drivers for.
const (
	Postgres Dialect = "postgres"
	SQLite   Dialect = "sqlite"
)

// Querier runs statements. Placeholders are $1, $2, … on every engine. Errors are classified: see [KindOf].
type Querier interface {
	// Exec runs a statement that returns no rows and reports how many rows it changed.
	Exec(ctx context.Context, sql string, args ...any) (rowsAffected int64, err error)
	// Query runs a statement that returns rows. The caller closes them; reading them to the end closes them too.
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
	// QueryRow runs a statement that returns at most one row. Errors are deferred to [Row.Scan].
	QueryRow(ctx context.Context, sql string, args ...any) Row
	// Dialect names the engine.
	Dialect() Dialect
}

// Tx is one open transaction: a [Querier] whose statements commit or roll back together. It belongs to the function
// that [DB.InTx] called and must not be used by several goroutines at once, nor after that function returned.
type Tx interface {
	Querier
	// Unwrap returns the driver's own transaction (pgx.Tx on Postgres, *sql.Conn on SQLite) for what Tx does not cover.
	Unwrap() any
}

// DB is one database. It is safe for concurrent use. Statements run directly on it commit by themselves.
type DB interface {
	Querier
	// InTx runs fn in a transaction and commits it when fn returns nil. A serialization failure or a deadlock runs the
	// whole of fn again on a fresh transaction, so fn must keep its effects inside tx. When the connection was lost
	// after COMMIT had been sent, the error matches [ErrOutcomeUnknown]: the work may or may not have been committed.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Close releases every connection. It waits for those in use.
	Close() error
}

// Rows iterates over a result. It is not safe for concurrent use.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// Row is a result of at most one row. Scan returns an error that matches [ErrNoRows] when there was none.
type Row interface {
	Scan(dest ...any) error
}
