package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// lab makes databases on one server.
type lab struct {
	server  *url.URL
	admin   *pgx.Conn
	version string
}

func newLab(ctx context.Context, dsn string) (*lab, error) {
	if dsn == "" {
		return nil, errors.New("no server: use make bench-saga, or set -dsn or MMF_TEST_POSTGRES_DSN")
	}
	server, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("-dsn is not a URL (its text is withheld because it may hold a password)")
	}
	l := &lab{server: server}
	if l.admin, err = pgx.Connect(ctx, dsn); err != nil {
		return nil, err
	}
	var fsync, commit string
	err = l.admin.QueryRow(ctx, `select current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&l.version, &fsync, &commit)
	if err == nil && (fsync != "on" || commit != "on") {
		err = fmt.Errorf("the server has fsync=%s and synchronous_commit=%s: figures without durability say nothing here", fsync, commit)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = l.admin.Close(ctx)
}

// database makes an empty database and returns its URL and what drops it.
func (l *lab) database(ctx context.Context) (dsn string, drop func(), err error) {
	name := "mmf_bench_" + strings.ToLower(rand.Text())
	if _, err := l.admin.Exec(ctx, "create database "+name); err != nil {
		return "", nil, err
	}
	u := *l.server
	u.Path = "/" + name
	return u.String(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, _ = l.admin.Exec(ctx, "drop database "+name+" with (force)")
	}, nil
}

// settle makes runs begin alike: nothing of the one before is left to be written.
func (l *lab) settle(ctx context.Context) error {
	_, err := l.admin.Exec(ctx, "checkpoint")
	return err
}

// wal is the number of bytes that the server has logged so far.
func (l *lab) wal(ctx context.Context) (bytes int64, err error) {
	err = l.admin.QueryRow(ctx, "select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint").Scan(&bytes)
	return bytes, err
}
