package datasqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/marty-framework/mmf/data"
)

// classify turns the engine's error into a [data.Error]; context errors and unknown errors pass through.
func classify(err error) error {
	var e *sqlite.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	return &data.Error{Kind: kind(e.Code()), Code: codeName(e.Code()), Err: err}
}

// kind looks at the extended code first, then at the primary one in its low byte.
func kind(code int) data.Kind {
	switch code {
	case lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_ROWID:
		return data.KindUnique
	case lib.SQLITE_BUSY_SNAPSHOT:
		return data.KindConflict
	}
	switch code & 0xff {
	case lib.SQLITE_CONSTRAINT:
		return data.KindConstraint
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return data.KindTimeout
	case lib.SQLITE_FULL:
		return data.KindFull
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY, lib.SQLITE_PROTOCOL:
		return data.KindUnavailable
	default:
		return data.KindOther
	}
}

// ioError reports whether the disk itself failed, after which nothing is known about what it keeps.
func ioError(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_IOERR
}

func codeName(code int) string {
	name, ok := map[int]string{
		lib.SQLITE_ERROR: "SQLITE_ERROR", lib.SQLITE_BUSY: "SQLITE_BUSY", lib.SQLITE_LOCKED: "SQLITE_LOCKED",
		lib.SQLITE_NOMEM: "SQLITE_NOMEM", lib.SQLITE_READONLY: "SQLITE_READONLY", lib.SQLITE_INTERRUPT: "SQLITE_INTERRUPT",
		lib.SQLITE_IOERR: "SQLITE_IOERR", lib.SQLITE_CORRUPT: "SQLITE_CORRUPT", lib.SQLITE_FULL: "SQLITE_FULL",
		lib.SQLITE_CANTOPEN: "SQLITE_CANTOPEN", lib.SQLITE_PROTOCOL: "SQLITE_PROTOCOL", lib.SQLITE_TOOBIG: "SQLITE_TOOBIG",
		lib.SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT", lib.SQLITE_MISMATCH: "SQLITE_MISMATCH", lib.SQLITE_NOTADB: "SQLITE_NOTADB",
		lib.SQLITE_CONSTRAINT_UNIQUE:     "SQLITE_CONSTRAINT_UNIQUE",
		lib.SQLITE_CONSTRAINT_PRIMARYKEY: "SQLITE_CONSTRAINT_PRIMARYKEY",
		lib.SQLITE_CONSTRAINT_ROWID:      "SQLITE_CONSTRAINT_ROWID",
		lib.SQLITE_CONSTRAINT_FOREIGNKEY: "SQLITE_CONSTRAINT_FOREIGNKEY",
		lib.SQLITE_CONSTRAINT_CHECK:      "SQLITE_CONSTRAINT_CHECK",
		lib.SQLITE_CONSTRAINT_NOTNULL:    "SQLITE_CONSTRAINT_NOTNULL",
		lib.SQLITE_BUSY_SNAPSHOT:         "SQLITE_BUSY_SNAPSHOT",
		lib.SQLITE_IOERR_FSYNC:           "SQLITE_IOERR_FSYNC",
		lib.SQLITE_IOERR_WRITE:           "SQLITE_IOERR_WRITE",
	}[code]
	if ok {
		return name
	}
	if code > 0xff {
		return fmt.Sprintf("%s/%d", codeName(code&0xff), code)
	}
	return fmt.Sprintf("SQLITE_%d", code)
}
