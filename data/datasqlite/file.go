package datasqlite

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"github.com/marty-framework/mmf/data"
)

// ErrDamaged says that the file exists and is no intact SQLite database: empty, truncated, damaged or something else.
// It is never replaced by a fresh one; restore a backup, or move the file away.
var ErrDamaged = errors.New("datasqlite: not an intact SQLite database")

const magic = "SQLite format 3\x00"

// prepareFile makes sure that an intact-looking database is at path before the engine opens it: the engine would take an
// empty file for a new database and would notice a missing tail only when a query happens to touch it.
func prepareFile(ctx context.Context, path string, cfg Config) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist) && cfg.MustExist:
		return fmt.Errorf("datasqlite: open: %w (and Config.MustExist forbids to create it)", err)
	case errors.Is(err, os.ErrNotExist):
		return create(ctx, path, cfg)
	case err != nil:
		return fmt.Errorf("datasqlite: open: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("datasqlite: open %s: it is a %s, not a regular file", path, info.Mode().Type())
	}
	return inspect(path, info.Size())
}

// inspect reads the header: the magic string, the page size at offset 16 and the page count at offset 28 are the file
// format's (https://www.sqlite.org/fileformat.html, section 1.3).
func inspect(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("datasqlite: open: %w", err)
	}
	defer func() { _ = f.Close() }()
	header := make([]byte, 100)
	if _, err := io.ReadFull(f, header); err != nil {
		return fmt.Errorf("%w: %s has %d bytes, a database has at least 512: it was truncated, or something else made it",
			ErrDamaged, path, size)
	}
	if string(header[:16]) != magic {
		return fmt.Errorf("%w: %s does not begin as one", ErrDamaged, path)
	}
	pageSize := int64(binary.BigEndian.Uint16(header[16:]))
	if pageSize == 1 {
		pageSize = 65536
	}
	want := pageSize * int64(binary.BigEndian.Uint32(header[28:]))
	// After a crash in the middle of a checkpoint the file may be short of pages that its log still has; the engine
	// copies them when it opens.
	if wal, err := os.Stat(path + "-wal"); size < want && (err != nil || wal.Size() == 0) {
		return fmt.Errorf("%w: %s is truncated: %d bytes of %d", ErrDamaged, path, size, want)
	}
	return nil
}

// create makes a new database beside path and links it into place when it is complete on disk. So a file at path is
// always a whole database, however the process dies, and of two creators at once the second uses the first's.
func create(ctx context.Context, path string, cfg Config) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".mmf-new-")
	if err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fresh := filepath.Join(dir, "new.db")
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	connector, err := sqlite.NewConnector(dsn(fresh, cfg, "FULL"))
	if err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	db := sql.OpenDB(connector)
	_, err = db.ExecContext(ctx, "pragma user_version = 0; vacuum")
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, classify(err))
	}
	if err := os.Link(fresh, path); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	defer func() { _ = parent.Close() }()
	if err := parent.Sync(); err != nil {
		return fmt.Errorf("datasqlite: create %s: %w", path, err)
	}
	return nil
}

// damaged makes what the engine says about a file's content match [ErrDamaged].
func damaged(path string, err error) error {
	var e *data.Error
	if errors.As(err, &e) && (e.Code == "SQLITE_NOTADB" || e.Code == "SQLITE_CORRUPT") {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return err
}
