package datapg_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datatest"
)

func open(t *testing.T, cfg datapg.Config) *datapg.DB {
	t.Helper()
	if cfg.DSN == "" {
		cfg.DSN = datatest.PostgresDSN(t)
	}
	db, err := datapg.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConfigListsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := datapg.Open(t.Context(), datapg.Config{MaxConns: 1, ConnectTimeout: -1, CommitTimeout: -1, ConflictRetries: 101, Isolation: "x"})
	for _, field := range []string{"MaxConns", "ConnectTimeout", "CommitTimeout", "ConflictRetries", "Isolation"} {
		require.ErrorContains(t, err, field)
	}
}

func TestErrorsNeverContainThePassword(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	for _, dsn := range []string{
		"postgres://bob:canary@" + closed + "/db",
		"postgres://bob:canary@127.0.0.1:notaport/db",
		"postgres://bob:canary%@127.0.0.1/db",
		"postgres://bob:canary@[::1/db",
		"host=127.0.0.1 password=canary port=x",
		"password='canary",
		"postgres://bob:canary@127.0.0.1:1/db?sslmode=canary&password=canary",
	} {
		_, err := datapg.Open(t.Context(), datapg.Config{DSN: dsn})
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), "canary", dsn+": "+err.Error())
	}
	_, err = datapg.Open(t.Context(), datapg.Config{DSN: "postgres://bob:canary@" + closed + "/db"})
	require.Equal(t, data.KindUnavailable, data.KindOf(err), "%v", err)
}

func TestSessionsHaveTheTimeouts(t *testing.T) {
	t.Parallel()
	dsn := datatest.PostgresDSN(t)
	show := func(db *datapg.DB, name string) (value string) {
		require.NoError(t, db.QueryRow(t.Context(), "show "+name).Scan(&value))
		return value
	}
	db := open(t, datapg.Config{DSN: dsn, LockTimeout: -1})
	require.Equal(t, "0", show(db, "lock_timeout"))
	require.Equal(t, "30s", show(db, "idle_in_transaction_session_timeout"))
	require.Equal(t, "mmf", show(db, "application_name"))
	sep := "&"
	if !strings.Contains(dsn, "?") {
		sep = "?"
	}
	db = open(t, datapg.Config{DSN: dsn + sep + "idle_in_transaction_session_timeout=7s"})
	require.Equal(t, "7s", show(db, "idle_in_transaction_session_timeout"), "the DSN's own parameters win")
	require.Equal(t, "5s", show(db, "lock_timeout"))
}

func TestSerializationFailuresRunTheFunctionAgain(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{Isolation: pgx.Serializable})
	_, err := db.Exec(t.Context(), "create table t (a bigint); insert into t values (0)")
	require.NoError(t, err)
	runs := 0
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		runs++
		var a int64
		require.NoError(t, tx.QueryRow(ctx, "select a from t").Scan(&a))
		if runs <= 2 { // somebody else changes what was just read
			_, err := db.Exec(t.Context(), "update t set a = a + 10")
			require.NoError(t, err)
		}
		_, err := tx.Exec(ctx, "update t set a = $1", a+1)
		_ = err // that the function swallows the error changes nothing
		return nil
	}))
	require.Equal(t, 3, runs)
	var a int64
	require.NoError(t, db.QueryRow(t.Context(), "select a from t").Scan(&a))
	require.EqualValues(t, 21, a)
}

func TestConflictsGiveUpAfterTheBound(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{ConflictRetries: 2})
	runs := 0
	err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		runs++
		_, err := tx.Exec(ctx, "do $x$ begin raise exception 'no' using errcode = '40001'; end $x$")
		return err
	})
	require.Equal(t, data.KindConflict, data.KindOf(err), "%v", err)
	require.Equal(t, 3, runs)
}

func TestADeferredConflictAtCommitRunsAgain(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	_, err := db.Exec(t.Context(), `create table t (a bigint); create table tries (n bigint);
		create function refuse() returns trigger language plpgsql as $x$ begin
			if (select count(*) from t) < 3 then raise exception 'no' using errcode = '40P01'; end if; return null; end $x$;
		create constraint trigger c after insert on t deferrable initially deferred for each row execute function refuse()`)
	require.NoError(t, err)
	runs := 0
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		runs++
		for range runs {
			if _, err := tx.Exec(ctx, "insert into t values (1)"); err != nil {
				return err
			}
		}
		return nil
	}))
	require.Equal(t, 3, runs)
}

func TestSQLStatesAreClassified(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	for code, want := range map[string]data.Kind{
		"40001": data.KindConflict, "40P01": data.KindConflict, "55P03": data.KindTimeout, "57014": data.KindTimeout,
		"25006": data.KindUnavailable, "57P01": data.KindUnavailable, "57P03": data.KindUnavailable, "53300": data.KindUnavailable,
		"53100": data.KindFull, "53200": data.KindUnavailable, "08006": data.KindUnavailable, "40003": data.KindUnknown,
		"23505": data.KindUnique, "23503": data.KindConstraint, "23514": data.KindConstraint, "23502": data.KindConstraint,
		"23P01": data.KindConstraint, "42601": data.KindOther, "XX000": data.KindOther, "P0001": data.KindOther,
	} {
		_, err := db.Exec(t.Context(), "do $x$ begin raise exception 'no' using errcode = '"+code+"'; end $x$")
		require.Equal(t, want, data.KindOf(err), "%s: %v", code, err)
	}
	_, err := db.Exec(t.Context(), "create table t (a bigint constraint a_once unique); insert into t values (1)")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "insert into t values (1)")
	var e *data.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "a_once", e.Constraint)
}

func TestARealDeadlockIsResolvedByRunningAgain(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	_, err := db.Exec(t.Context(), "create table t (id bigint primary key, a bigint); insert into t values (1, 0), (2, 0)")
	require.NoError(t, err)
	runs := make(chan int, 2)
	both := make(chan struct{}, 2)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		go func() {
			n := 0
			err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
				n++
				for i, id := range order {
					if _, err := tx.Exec(ctx, "update t set a = a + 1 where id = $1", id); err != nil {
						return err
					}
					if n == 1 && i == 0 { // hold the first until the other holds its own
						both <- struct{}{}
						for len(both) < 2 {
							time.Sleep(time.Millisecond)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			runs <- n
		}()
	}
	require.Equal(t, 3, <-runs+<-runs, "the victim ran twice")
	var sum int64
	require.NoError(t, db.QueryRow(t.Context(), "select sum(a) from t").Scan(&sum))
	require.EqualValues(t, 4, sum)
}

func TestAKilledSessionIsUnavailableAndThePoolRecovers(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	_, err := db.Exec(t.Context(), "create table t (a bigint)")
	require.NoError(t, err)
	err = db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "insert into t values (1)")
		require.NoError(t, err)
		pid := tx.Unwrap().(pgx.Tx).Conn().PgConn().PID()
		_, err = db.Exec(t.Context(), "select pg_terminate_backend($1, 5000)", pid)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "insert into t values (2)")
		return err
	})
	require.Equal(t, data.KindUnavailable, data.KindOf(err), "%v", err)
	require.True(t, data.Retryable(err))
	var n int
	require.NoError(t, db.QueryRow(t.Context(), "select count(*) from t").Scan(&n))
	require.Zero(t, n)
}

func TestALockTimeoutIsATimeout(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{LockTimeout: 20 * time.Millisecond})
	_, err := db.Exec(t.Context(), "create table t (a bigint); insert into t values (1)")
	require.NoError(t, err)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "update t set a = 2")
		require.NoError(t, err)
		_, err = db.Exec(t.Context(), "update t set a = 3")
		require.Equal(t, data.KindTimeout, data.KindOf(err), "%v", err)
		return nil
	}))
}

func TestNewTakesAPool(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), datatest.PostgresDSN(t))
	require.NoError(t, err)
	db, err := datapg.New(pool, datapg.Config{})
	require.NoError(t, err)
	require.Same(t, pool, db.Pool())
	require.NoError(t, db.Ping(t.Context()))
	require.NoError(t, db.Close())
}

func TestAWriteOutsideATransactionWhoseContextEndsIsUnknown(t *testing.T) {
	t.Parallel()
	db := open(t, datapg.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := db.Exec(ctx, "do $x$ begin perform pg_sleep(10); end $x$")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, data.ErrOutcomeUnknown)
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var none any
	err = db.QueryRow(ctx, "select pg_sleep(10)").Scan(&none)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, data.ErrOutcomeUnknown)
}
