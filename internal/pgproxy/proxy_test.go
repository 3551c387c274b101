package pgproxy_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/internal/pgproxy"
)

// behind starts a proxy in front of a fresh database and returns connection strings through it and past it.
func behind(t *testing.T) (p *pgproxy.Proxy, through, direct string) {
	t.Helper()
	direct = datatest.PostgresDSN(t)
	before := goleak.IgnoreCurrent()
	u, err := url.Parse(direct)
	require.NoError(t, err)
	p, err = pgproxy.Start(u.Host)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		goleak.VerifyNone(t, before)
	})
	u.Host = p.Addr()
	q := u.Query()
	q.Set("sslmode", "prefer") // which is declined
	u.RawQuery = q.Encode()
	return p, u.String(), direct
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func run(t *testing.T, c *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := c.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func count(t *testing.T, c *pgx.Conn) (n int) {
	t.Helper()
	require.NoError(t, c.QueryRow(t.Context(), "select count(*) from t").Scan(&n))
	return n
}

// TestCommitPointsAreNumbered shows what counts as making something durable, in both protocols.
func TestCommitPointsAreNumbered(t *testing.T) {
	p, through, _ := behind(t)
	c := connect(t, through)
	var mu sync.Mutex
	var last, durable int
	p.After(func(point pgproxy.Point) pgproxy.Fate {
		mu.Lock()
		defer mu.Unlock()
		if point.Commit > 0 {
			last = point.Commit
			if point.Durable {
				durable++
			}
		}
		return pgproxy.Forward
	})
	for _, step := range []struct {
		sql     string
		args    []any
		commits int
	}{
		{"create table t (a bigint primary key, b bigint)", nil, 1},
		{"select 1", nil, 0},
		{"insert into t values ($1)", []any{1}, 1},
		{"insert into t values ($1)", []any{2}, 1}, // prepared before
		{"insert into t values (3)", nil, 1},
		{"begin", nil, 0},
		{"select * from t for update", nil, 0},
		{"commit", nil, 0}, // nothing was written
		{"begin", nil, 0},
		{"update t set b = $1", []any{1}, 0},
		{"commit", nil, 1},
		{"begin", nil, 0},
		{"delete from t", nil, 0},
		{"rollback", nil, 0},
		{"-- why\nwith f as (select 1 for share) insert into t select a + 10, $1 from t on conflict do nothing", []any{1}, 1},
		{"with u as (update t x set b = 2 where a = $1 returning a) select a from u", []any{1}, 1},
		{"with u as (select 1 as updated) select * from u", nil, 0},
	} {
		before := p.Counts().Commits
		run(t, c, step.sql, step.args...)
		require.Equal(t, step.commits, p.Counts().Commits-before, step.sql)
	}
	_, err := c.Exec(t.Context(), "insert into t values (1)")
	require.Error(t, err)
	require.Equal(t, 6, count(t, c))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, p.Counts().Commits, last)
	require.Equal(t, last-1, durable, "a refused statement makes nothing durable")
	require.Zero(t, p.Counts().Unforeseen)
}

func TestCutsOnEitherSide(t *testing.T) {
	p, through, direct := behind(t)
	d := connect(t, direct)
	run(t, d, "create table t (a bigint)")
	for _, inTx := range []bool{true, false} {
		for _, after := range []bool{false, true} {
			run(t, d, "truncate t")
			c := connect(t, through)
			run(t, c, "select 1")
			counts := p.Counts()
			hook := func(point pgproxy.Point) pgproxy.Fate {
				if point.Commit == 0 {
					return pgproxy.Forward
				}
				return pgproxy.Cut
			}
			if after {
				p.After(hook)
			} else {
				p.Before(hook)
			}
			write := func() error {
				_, err := c.Exec(t.Context(), "insert into t values ($1)", 1)
				return err
			}
			if inTx {
				run(t, c, "begin")
				require.NoError(t, write())
				_, err := c.Exec(t.Context(), "commit")
				require.Error(t, err)
			} else {
				require.Error(t, write())
			}
			p.Before(nil)
			p.After(nil)
			require.True(t, c.IsClosed())
			if after {
				require.Equal(t, 1, count(t, d), "the server did it")
				require.Equal(t, counts.Swallowed+1, p.Counts().Swallowed)
			} else {
				require.Equal(t, 0, count(t, d), "the server never saw it")
				require.Equal(t, counts.Cut+1, p.Counts().Cut)
			}
		}
	}
}

func TestMadeErrors(t *testing.T) {
	p, through, direct := behind(t)
	d := connect(t, direct)
	run(t, d, "create table t (a bigint)")
	c := connect(t, through)
	at := func(sql string, fate pgproxy.Fate) pgproxy.Hook {
		return func(point pgproxy.Point) pgproxy.Fate {
			if len(point.SQL) > 0 && point.SQL[0] == sql {
				return fate
			}
			return pgproxy.Forward
		}
	}
	refused := func(c *pgx.Conn, sql, code, severity string) {
		_, err := c.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, code, pgErr.Code)
		require.Equal(t, severity, pgErr.Severity)
	}
	// A statement in a transaction: the transaction is aborted in truth.
	p.Before(at("insert into t values (1)", pgproxy.Fail("40001")))
	run(t, c, "begin")
	refused(c, "insert into t values (1)", "40001", "ERROR")
	require.Equal(t, byte('E'), c.PgConn().TxStatus())
	run(t, c, "rollback")
	// COMMIT: nothing is committed, and the session is idle.
	p.Before(at("commit", pgproxy.Fail("40001")))
	run(t, c, "begin")
	run(t, c, "insert into t values (2)")
	refused(c, "commit", "40001", "ERROR")
	require.Equal(t, byte('I'), c.PgConn().TxStatus())
	require.Equal(t, 0, count(t, c))
	// FATAL: the session ends; afterwards and instead of the reply, although it committed.
	p.Before(at("insert into t values (3)", pgproxy.Kill("57P01")))
	refused(c, "insert into t values (3)", "57P01", "FATAL")
	require.Equal(t, 0, count(t, d))
	p.Before(nil)
	p.After(at("insert into t values (4)", pgproxy.Kill("57P01")))
	c = connect(t, through)
	refused(c, "insert into t values (4)", "57P01", "FATAL")
	require.Equal(t, 1, count(t, d))
	p.Connect(func() pgproxy.Fate { return pgproxy.Kill("53300") })
	_, err := pgx.Connect(t.Context(), through)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "53300", pgErr.Code)
	require.Equal(t, 5, p.Counts().Failed)
}

func TestFreezeAndDown(t *testing.T) {
	p, through, _ := behind(t)
	c := connect(t, through)
	run(t, c, "create table t (a bigint)")
	p.Freeze()
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), "insert into t values (1)")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatal("answered through a frozen proxy", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Thaw()
	require.NoError(t, <-done)
	require.Equal(t, 1, count(t, c), "nothing was lost")
	p.Down()
	_, err := c.Exec(t.Context(), "select 1")
	require.Error(t, err)
	_, err = pgx.Connect(t.Context(), through)
	require.Error(t, err)
	require.NotZero(t, p.Counts().Refused)
	p.Up()
	require.Equal(t, 1, count(t, connect(t, through)))
}

// TestHeldPoint shows that a hook that blocks holds up its connection and no other.
func TestHeldPoint(t *testing.T) {
	p, through, direct := behind(t)
	d := connect(t, direct)
	run(t, d, "create table t (a bigint)")
	c, other := connect(t, through), connect(t, through)
	held, free := make(chan pgproxy.Point), make(chan struct{})
	p.After(func(point pgproxy.Point) pgproxy.Fate {
		if point.Commit > 0 {
			held <- point
			<-free
		}
		return pgproxy.Forward
	})
	done := make(chan error, 1)
	go func() {
		_, err := c.Exec(context.Background(), "insert into t values ($1)", 1)
		done <- err
	}()
	point := <-held
	require.True(t, point.Durable)
	require.Equal(t, c.PgConn().PID(), point.Process)
	require.Equal(t, 1, count(t, d), "durable, and the client does not know yet")
	run(t, other, "select 1")
	close(free)
	require.NoError(t, <-done)
}
