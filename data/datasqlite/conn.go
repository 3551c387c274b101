package datasqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/internal/sqltext"
)

// maxStatements bounds the prepared statements kept per connection; beyond it an arbitrary one is dropped.
const maxStatements = 128

// conn is one pinned connection with its prepared statements. It is used by one goroutine at a time: whoever took it
// from its pool.
type conn struct {
	sql        *sql.Conn
	statements map[string]*statement
}

// statement is a prepared statement with the number of arguments that it takes: the driver ignores surplus ones.
type statement struct {
	*sql.Stmt
	params int
}

// prepare takes a statement out of the cache, or makes it. Whoever took it calls keep afterwards.
func (c *conn) prepare(ctx context.Context, query string, args []any) (*statement, error) {
	s, ok := c.statements[query]
	if ok {
		delete(c.statements, query)
	} else {
		prepared, err := c.sql.PrepareContext(ctx, query)
		if err != nil {
			return nil, classify(err)
		}
		s = &statement{Stmt: prepared, params: sqltext.Placeholders(query)}
	}
	if s.params != len(args) {
		c.keep(query, s)
		return nil, fmt.Errorf("datasqlite: the statement has placeholders up to $%d and got %d arguments", s.params, len(args))
	}
	return s, nil
}

// keep puts a statement back for the next use.
func (c *conn) keep(query string, s *statement) {
	if _, ok := c.statements[query]; ok { // the same text was prepared meanwhile
		_ = s.Close()
		return
	}
	if len(c.statements) >= maxStatements {
		for q, old := range c.statements {
			_ = old.Close()
			delete(c.statements, q)
			break
		}
	}
	c.statements[query] = s
}

// exec runs a statement to its end.
func (c *conn) exec(ctx context.Context, query string, args []any) (int64, error) {
	s, err := c.prepare(ctx, query, args)
	if err != nil {
		return 0, err
	}
	defer c.keep(query, s)
	res, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, classify(err)
	}
	n, err := res.RowsAffected()
	return n, classify(err)
}

// control runs BEGIN, COMMIT or ROLLBACK.
func (c *conn) control(ctx context.Context, query string) error {
	_, err := c.exec(ctx, query, nil)
	return err
}

// query starts a statement; the rows put it back into the cache when they are closed.
func (c *conn) query(ctx context.Context, query string, args []any) (*rows, error) {
	s, err := c.prepare(ctx, query, args)
	if err != nil {
		return nil, err
	}
	rs, err := s.QueryContext(ctx, args...)
	if err != nil {
		c.keep(query, s)
		return nil, classify(err)
	}
	return &rows{Rows: rs, release: func() { c.keep(query, s) }}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.sql.Close())...)
}

// pool hands out pinned connections in order of arrival.
type pool struct {
	what string
	free chan *conn
}

func (p pool) take(ctx context.Context, closing <-chan struct{}) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("datasqlite: %s: %w", p.what, err)
	}
	select {
	case <-closing:
		return nil, errClosed
	default:
	}
	select {
	case c := <-p.free:
		return c, nil
	case <-closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, fmt.Errorf("datasqlite: %s: %w", p.what, ctx.Err())
	}
}

func (p pool) give(c *conn) { p.free <- c }
