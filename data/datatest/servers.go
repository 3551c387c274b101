package datatest

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
)

// The environment variables that name the test servers.
const (
	PostgresEnv = "MMF_TEST_POSTGRES_DSN"
	RedisEnv    = "MMF_TEST_REDIS_ADDR"
	KafkaEnv    = "MMF_TEST_KAFKA_BROKERS"
	RequireEnv  = "MMF_TEST_REQUIRE"
)

// Engines yields every engine's name with a function that opens a fresh database, for table tests.
func Engines() iter.Seq2[string, func(t testing.TB) data.DB] {
	return func(yield func(string, func(t testing.TB) data.DB) bool) {
		_ = yield(string(data.SQLite), SQLite) && yield(string(data.Postgres), Postgres)
	}
}

// SQLite opens a fresh database file in the test's temporary folder and closes it at the test's end.
func SQLite(t testing.TB) data.DB {
	t.Helper()
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatalf("datatest: %v", err)
	}
	closeAtEnd(t, db)
	return db
}

// Postgres opens a fresh database on the test server and drops it at the test's end. It skips the test when there is no
// server.
func Postgres(t testing.TB) data.DB {
	t.Helper()
	db, err := datapg.Open(t.Context(), datapg.Config{DSN: PostgresDSN(t)})
	if err != nil {
		t.Fatalf("datatest: %v", err)
	}
	closeAtEnd(t, db)
	return db
}

// PostgresDSN makes a fresh database on the test server, returns its connection string as a URL, and drops the database
// at the test's end together with whatever is still connected. It skips the test when there is no server.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	admin := server(t, PostgresEnv, true)
	config, err := pgx.ParseConfig(admin)
	if err != nil {
		t.Fatalf("datatest: %s cannot be parsed", PostgresEnv)
	}
	name := "mmf_test_" + strings.ToLower(rand.Text()[:12])
	run := func(ctx context.Context, sql string) error {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		_, err = conn.Exec(ctx, sql)
		return err
	}
	if err := run(t.Context(), "create database "+name); err != nil {
		t.Fatalf("datatest: a fresh database on the server of %s: %v", PostgresEnv, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := run(ctx, "drop database if exists "+name+" with (force)"); err != nil {
			t.Errorf("datatest: drop the test's database: %v", err)
		}
	})
	return withDatabase(admin, config, name)
}

// withDatabase points the server's connection string at another database.
func withDatabase(dsn string, config *pgx.ConnConfig, name string) string {
	u, err := url.Parse(dsn)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return dsn + " dbname=" + name // key=value form: the last one wins
	}
	u.Path = "/" + name
	q := u.Query()
	q.Del("dbname")
	q.Del("database")
	u.RawQuery = q.Encode()
	if u.User == nil {
		u.User = url.UserPassword(config.User, config.Password)
	}
	return u.String()
}

// RedisAddr returns the host:port of the test server, which tests share: use keys of your own. It skips the test when
// there is no server.
func RedisAddr(t testing.TB) string {
	t.Helper()
	return server(t, RedisEnv, true)
}

// KafkaBrokers returns the seed brokers of the test server, which tests share: use topics and groups of your own. It
// skips the test when there is none, even with MMF_TEST_REQUIRE=1.
func KafkaBrokers(t testing.TB) []string {
	t.Helper()
	return strings.Split(server(t, KafkaEnv, false), ",")
}

func server(t testing.TB, env string, required bool) string {
	t.Helper()
	value := os.Getenv(env)
	if value != "" {
		return value
	}
	message := fmt.Sprintf("datatest: %s is not set: no server for this test", env)
	if required && os.Getenv(RequireEnv) == "1" {
		t.Fatal(message + ", and " + RequireEnv + "=1 demands it")
	}
	t.Skip(message)
	return ""
}

func closeAtEnd(t testing.TB, db data.DB) {
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("datatest: close: %v", err)
		}
	})
}
