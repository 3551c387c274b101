package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// lab makes empty databases, and reads what filling them costs.
type lab struct {
	url    *url.URL // of the server; nil without one
	admin  *pgx.Conn
	counts bool   // the server counts statements
	dir    string // of SQLite's files
}

// place is an empty database for one run. The dsn is a URL on PostgreSQL, a path on SQLite.
type place struct {
	kind databaseKind
	dsn  string
	name string
	drop func()
}

func newLab(ctx context.Context, dsn string, chosen []contender) (_ *lab, err error) {
	l := &lab{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.dir, err = os.MkdirTemp("", "mmf-bench-"); err != nil {
		return nil, err
	}
	for _, c := range chosen {
		if c.kind == onPostgres {
			return l, l.connect(ctx, dsn)
		}
	}
	return l, nil
}

func (l *lab) connect(ctx context.Context, dsn string) (err error) {
	if dsn == "" {
		return errors.New("no server: use make bench-saga, or set -dsn or MMF_TEST_POSTGRES_DSN")
	}
	if l.url, err = url.Parse(dsn); err != nil || l.url.Host == "" {
		return errors.New("-dsn is not a URL (its text is withheld because it may hold a password)")
	}
	if l.admin, err = pgx.Connect(ctx, dsn); err != nil {
		return err
	}
	var fsync, commit string
	err = l.admin.QueryRow(ctx, `select current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&fsync, &commit)
	if err != nil {
		return err
	}
	if fsync != "on" || commit != "on" {
		return fmt.Errorf("the server has fsync=%s and synchronous_commit=%s: figures without durability say nothing here", fsync, commit)
	}
	// Refused by a server that has not loaded the library; then statements are not known.
	_, err = l.admin.Exec(ctx, `create extension if not exists pg_stat_statements`)
	if err == nil {
		_, err = l.admin.Exec(ctx, `select count(*) from pg_stat_statements`)
	}
	l.counts = err == nil
	return ctx.Err()
}

func (l *lab) close() {
	if l.admin != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.admin.Close(ctx)
	}
	_ = os.RemoveAll(l.dir)
}

// database makes an empty one.
func (l *lab) database(ctx context.Context, kind databaseKind) (place, error) {
	name := "mmf_bench_" + strings.ToLower(rand.Text())
	if kind == onSQLite {
		dir := filepath.Join(l.dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return place{}, err
		}
		return place{kind, filepath.Join(dir, "bench.db"), name, func() { _ = os.RemoveAll(dir) }}, nil
	}
	if _, err := l.admin.Exec(ctx, "create database "+name); err != nil {
		return place{}, err
	}
	u := *l.url
	u.Path = "/" + name
	return place{kind, u.String(), name, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, _ = l.admin.Exec(ctx, "drop database "+name+" with (force)")
	}}, nil
}

// settle makes runs begin alike: nothing of the one before is left to be written, and no count of it remains. There is
// nothing to vacuum, because every run has a database of its own.
func (l *lab) settle(ctx context.Context) error {
	if l.admin == nil {
		return nil
	}
	if l.counts {
		if _, err := l.admin.Exec(ctx, "select pg_stat_statements_reset()"); err != nil {
			return err
		}
	}
	_, err := l.admin.Exec(ctx, "checkpoint")
	return err
}

// left waits until nobody is connected to a run's database, so that no contender works while the next one is measured.
func (l *lab) left(ctx context.Context, p place) error {
	if p.kind != onPostgres {
		return nil
	}
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var n int
		err := l.admin.QueryRow(ctx, `select count(*) from pg_stat_activity where datname = $1`, p.name).Scan(&n)
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d connections are still open after its end", n)
		}
	}
}
