package datasqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"modernc.org/sqlite"

	"github.com/marty-framework/mmf/data"
)

// Open opens the database file, creating it when it is missing. A file that exists and is no intact SQLite database is
// refused with an error that matches [ErrDamaged].
func Open(ctx context.Context, cfg Config) (_ *DB, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &DB{
		closing: make(chan struct{}),
		writer:  pool{"waiting for the writer", make(chan *conn, 1)},
		readers: pool{"waiting for a reading connection", make(chan *conn, cfg.ReadConns)},
	}
	synchronous := "FULL"
	if cfg.Path == Memory {
		dir, err := os.MkdirTemp("", "mmf-sqlite-")
		if err != nil {
			return nil, fmt.Errorf("datasqlite: a folder for the private database: %w", err)
		}
		d.cleanup = func() error { return os.RemoveAll(dir) }
		cfg.Path, cfg.DisableCheck, synchronous = filepath.Join(dir, "memory.db"), true, "OFF"
	}
	if d.path, err = filepath.Abs(cfg.Path); err != nil {
		return nil, fmt.Errorf("datasqlite: %w", err)
	}
	defer func() {
		if err == nil {
			return
		}
		if d.sqlDB != nil {
			_ = d.sqlDB.Close()
		}
		if d.cleanup != nil {
			_ = d.cleanup()
		}
	}()
	if err := prepareFile(ctx, d.path, cfg); err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(dsn(d.path, cfg, synchronous))
	if err != nil {
		return nil, fmt.Errorf("datasqlite: open %s: %w", d.path, err)
	}
	d.sqlDB = sql.OpenDB(connector)
	if err := d.pin(ctx, cfg); err != nil {
		return nil, fmt.Errorf("datasqlite: open %s: %w", d.path, err)
	}
	return d, nil
}

// pin takes the writing and the reading connections out of the database/sql pool for good; what remains of it serves
// [DB.SQLDB].
func (d *DB) pin(ctx context.Context, cfg Config) error {
	for i := range 1 + cfg.ReadConns {
		sc, err := d.sqlDB.Conn(ctx)
		if err != nil {
			return damaged(d.path, classify(err))
		}
		c := &conn{sql: sc, statements: map[string]*statement{}}
		if i == 0 {
			if err := d.check(ctx, c, cfg); err != nil {
				return errors.Join(err, c.close())
			}
			d.writer.give(c)
			continue
		}
		if err := c.control(ctx, "pragma query_only = on"); err != nil {
			return errors.Join(err, c.close())
		}
		d.readers.give(c)
	}
	return nil
}

// check looks into the file through the engine: this is where a log left by a crash is replayed.
func (d *DB) check(ctx context.Context, c *conn, cfg Config) error {
	query := "pragma quick_check(1)"
	if cfg.DisableCheck {
		query = "select 'ok' from sqlite_schema union all select 'ok' limit 1"
	}
	var verdict string
	rs, err := c.query(ctx, query, nil)
	if err == nil {
		rs.done = func(err error) error { return err }
		err = data.LazyRow(func() (data.Rows, error) { return rs, nil }).Scan(&verdict)
	}
	if err != nil {
		return damaged(d.path, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s: %s", ErrDamaged, d.path, verdict)
	}
	return nil
}

// dsn names the file and what every connection to it is set to. The path is escaped, so it cannot carry parameters.
func dsn(path string, cfg Config, synchronous string) string {
	q := url.Values{
		"_busy_timeout":        {strconv.FormatInt(cfg.BusyTimeout.Milliseconds(), 10)},
		"_foreign_keys":        {"on"},
		"_journal_mode":        {"WAL"},
		"_synchronous":         {synchronous},
		"_txlock":              {"immediate"},
		"_time_integer_format": {"unix_micro"},
		"_inttotime":           {"1"},
		"_dqs":                 {"0"},
		"_error_rc":            {"1"},
		"mode":                 {"rw"},
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}
