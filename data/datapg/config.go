package datapg

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config says which server to use and how. The zero value of every field but DSN is a sensible default.
type Config struct {
	// DSN is a connection string, postgres://user:password@host:port/database?sslmode=… or key=value pairs. It is a
	// secret: nothing in this package prints it. Its own parameters win over the fields below. Required.
	DSN string
	// MaxConns is the size of the pool. Default 10, at least 2: migrations and whatever else needs a session of its own
	// must not wait for the last connection.
	MaxConns int
	// ConnectTimeout bounds one attempt to connect. Default 5 s.
	ConnectTimeout time.Duration
	// LockTimeout is the server's lock_timeout: the longest wait for one lock, then [data.KindTimeout].
	// Default 5 s; negative: none.
	LockTimeout time.Duration
	// IdleInTxTimeout is the server's idle_in_transaction_session_timeout, which frees the locks of a process that
	// stopped in mid-transaction. Default 30 s; negative: none.
	IdleInTxTimeout time.Duration
	// StatementTimeout is the server's statement_timeout. Default: none, contexts bound statements.
	StatementTimeout time.Duration
	// CommitTimeout bounds the wait for the reply to COMMIT, whose outcome is unknown afterwards. The caller's context
	// is only looked at before COMMIT is sent, so that its end does not make outcomes unknown. Default 10 s.
	CommitTimeout time.Duration
	// Isolation of transactions. Default: the server's, which is read committed.
	Isolation pgx.TxIsoLevel
	// ConflictRetries is how often InTx runs its function again after a serialization failure or a deadlock.
	// Default 8, at most 100; negative: never.
	ConflictRetries int
	// ApplicationName shows up in pg_stat_activity. Default "mmf".
	ApplicationName string
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.ConnectTimeout, 5*time.Second)
	def(&c.LockTimeout, 5*time.Second)
	def(&c.IdleInTxTimeout, 30*time.Second)
	def(&c.CommitTimeout, 10*time.Second)
	if c.MaxConns == 0 {
		c.MaxConns = 10
	}
	if c.ConflictRetries == 0 {
		c.ConflictRetries = 8
	}
	if c.ApplicationName == "" {
		c.ApplicationName = "mmf"
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.MaxConns < 2 || c.MaxConns > math.MaxInt16 {
		errs = append(errs, fmt.Errorf("Config.MaxConns is %d: it must lie between 2 and %d", c.MaxConns, math.MaxInt16))
	}
	if c.ConnectTimeout < 0 {
		errs = append(errs, fmt.Errorf("Config.ConnectTimeout is %s: it must be positive", c.ConnectTimeout))
	}
	if c.CommitTimeout < 0 {
		errs = append(errs, fmt.Errorf("Config.CommitTimeout is %s: it must be positive", c.CommitTimeout))
	}
	if c.ConflictRetries > 100 {
		errs = append(errs, fmt.Errorf("Config.ConflictRetries is %d: it must be at most 100", c.ConflictRetries))
	}
	switch c.Isolation {
	case "", pgx.Serializable, pgx.RepeatableRead, pgx.ReadCommitted, pgx.ReadUncommitted:
	default:
		errs = append(errs, fmt.Errorf("Config.Isolation is %q: use one of pgx's constants", c.Isolation))
	}
	if len(errs) > 0 {
		return fmt.Errorf("datapg: invalid configuration: %w", errors.Join(errs...))
	}
	return nil
}

// pool makes pgx's configuration. The parser's own error is dropped: it may quote the password.
func (c Config) pool() (*pgxpool.Config, error) {
	if c.DSN == "" {
		return nil, errors.New("datapg: Config.DSN is empty")
	}
	pc, err := pgxpool.ParseConfig(c.DSN)
	if err != nil {
		return nil, errors.New("datapg: Config.DSN cannot be parsed (its text is withheld because it may hold a password): " +
			"write postgres://user:password@host:port/database?sslmode=verify-full with special characters percent-encoded, or key=value pairs")
	}
	pc.MaxConns = int32(c.MaxConns)
	if pc.ConnConfig.ConnectTimeout == 0 || pc.ConnConfig.ConnectTimeout > c.ConnectTimeout {
		pc.ConnConfig.ConnectTimeout = c.ConnectTimeout
	}
	param := func(name, value string) {
		if _, set := pc.ConnConfig.RuntimeParams[name]; !set {
			pc.ConnConfig.RuntimeParams[name] = value
		}
	}
	timeout := func(name string, d time.Duration) {
		if d > 0 {
			param(name, strconv.FormatInt(max(1, d.Milliseconds()), 10))
		}
	}
	param("application_name", c.ApplicationName)
	timeout("lock_timeout", c.LockTimeout)
	timeout("idle_in_transaction_session_timeout", c.IdleInTxTimeout)
	timeout("statement_timeout", c.StatementTimeout)
	return pc, nil
}
