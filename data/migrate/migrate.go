// Package migrate brings a database's tables to the version that the running binary expects, and refuses a database
// that a newer binary has already moved on.
//
//	//go:embed migrations/*.sql
//	var files embed.FS
//
//	migrations, _ := fs.Sub(files, "migrations")
//	err := migrate.Up(ctx, db, migrations, migrate.Config{Name: "orders"})
//
// The files are goose's: 00001_create.sql, 00002_add_column.sql, … with "-- +goose Up" and "-- +goose Down" sections.
// When the file system has a folder named for the engine ("postgres" or "sqlite") its files are used, otherwise those
// at the top. Each name has a version table of its own, mmf_migrations_<name>, so that the packages of one application
// number their files independently in one database.
//
// Each file runs in one transaction together with its line in the version table: a migrator that is killed between two
// statements leaves the previous version, and the next one starts there. On Postgres a session advisory lock lets one
// migrator work while others wait; on SQLite the file's write lock orders them and the loser looks again. A file marked
// "-- +goose NO TRANSACTION" has none of this: write its statements so that they can be repeated.
//
// Old binaries keep running while a new one migrates, so a release only expands (adds nullable columns, tables,
// indexes); what nobody uses any more is dropped one release later.
package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/marty-framework/mmf/data"
)

// Opener is what a [data.DB] needs besides for its migrations: a database/sql view of itself. The drivers of MMF have
// it. The returned value belongs to the database and is not closed here.
type Opener interface {
	SQLDB() *sql.DB
}

// Config names a set of migrations.
type Config struct {
	// Name of the set: lower-case letters, digits and underscores, at most 40. It names the version table, so it must
	// never change. Required.
	Name string
	// LockWait bounds the wait for another migrator, on Postgres. Default 1 min.
	LockWait time.Duration
}

// NewerError says that the database was migrated by a newer binary than this one.
type NewerError struct {
	Name            string
	Database, Known int64
}

// Error says both versions and the ways out.
func (e *NewerError) Error() string {
	return fmt.Sprintf("migrate: the database is at version %d of %q and this binary knows only up to %d: "+
		"run the newer binary, or migrate down with it before going back to this one", e.Database, e.Name, e.Known)
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Up applies all migrations that the database has not had. A database that is newer than the files is refused with a
// [*NewerError].
func Up(ctx context.Context, db data.DB, files fs.FS, cfg Config) error {
	m, err := open(db, files, cfg)
	if err != nil {
		return err
	}
	for {
		before, known, err := m.versions(ctx)
		if err != nil {
			return err
		}
		if before > known {
			return &NewerError{Name: cfg.Name, Database: before, Known: known}
		}
		if before == known {
			return nil
		}
		_, upErr := m.provider.Up(ctx)
		after, known, err := m.versions(ctx)
		switch {
		case upErr == nil && err == nil && after > known:
			return &NewerError{Name: cfg.Name, Database: after, Known: known}
		case upErr == nil:
			return err
		case err == nil && after > before && m.dialect == data.SQLite:
			continue // another process applied the same file first and ours was rolled back: go on from there
		default:
			return fmt.Errorf("migrate: %q from version %d: %w", cfg.Name, before, upErr)
		}
	}
}

// Down takes back the newest migration. At version 0 it does nothing.
func Down(ctx context.Context, db data.DB, files fs.FS, cfg Config) error {
	m, err := open(db, files, cfg)
	if err != nil {
		return err
	}
	at, known, err := m.versions(ctx)
	if err != nil {
		return err
	}
	if at > known {
		return &NewerError{Name: cfg.Name, Database: at, Known: known}
	}
	if _, err := m.provider.Down(ctx); err != nil && !errors.Is(err, goose.ErrNoNextVersion) {
		return fmt.Errorf("migrate: %q down from version %d: %w", cfg.Name, at, err)
	}
	return nil
}

// Version reports the version that the database is at, 0 before the first migration, and the newest one that the files
// know.
func Version(ctx context.Context, db data.DB, files fs.FS, cfg Config) (database, known int64, err error) {
	m, err := open(db, files, cfg)
	if err != nil {
		return 0, 0, err
	}
	return m.versions(ctx)
}

// migrator is one set of files on one database.
type migrator struct {
	name     string
	dialect  data.Dialect
	provider *goose.Provider
}

func open(db data.DB, files fs.FS, cfg Config) (*migrator, error) {
	if !validName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("migrate: Config.Name is %q: it must be lower-case letters, digits and underscores, at most 40", cfg.Name)
	}
	if cfg.LockWait == 0 {
		cfg.LockWait = time.Minute
	}
	if cfg.LockWait < 0 {
		return nil, fmt.Errorf("migrate: Config.LockWait is %s: it must not be negative", cfg.LockWait)
	}
	opener, ok := db.(Opener)
	if !ok {
		return nil, fmt.Errorf("migrate: %T has no SQLDB() *sql.DB: pass the driver's own database, not a wrapper", db)
	}
	dialect, options := goose.DialectSQLite3, []goose.ProviderOption{
		goose.WithTableName("mmf_migrations_" + cfg.Name),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	}
	if db.Dialect() == data.Postgres {
		dialect = goose.DialectPostgres
		options = append(options, goose.WithSessionLocker(sessionLock{name: cfg.Name, wait: cfg.LockWait}))
	}
	if info, err := fs.Stat(files, string(db.Dialect())); err == nil && info.IsDir() {
		if files, err = fs.Sub(files, string(db.Dialect())); err != nil {
			return nil, fmt.Errorf("migrate: %q: %w", cfg.Name, err)
		}
	}
	provider, err := goose.NewProvider(dialect, opener.SQLDB(), files, options...)
	if err != nil {
		return nil, fmt.Errorf("migrate: %q: %w", cfg.Name, err)
	}
	return &migrator{name: cfg.Name, dialect: db.Dialect(), provider: provider}, nil
}

func (m *migrator) versions(ctx context.Context) (database, known int64, err error) {
	if database, known, err = m.provider.GetVersions(ctx); err != nil {
		return 0, 0, fmt.Errorf("migrate: the version of %q: %w", m.name, err)
	}
	return database, known, nil
}
