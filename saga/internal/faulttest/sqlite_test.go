package faulttest_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// traced are command words that make system calls on the database's log fail or kill their caller.
func traced(t *testing.T, path, inject string) []string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace to make a system call fail with")
	}
	if out, err := exec.Command(strace, "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace cannot trace here: %s", out)
	}
	calls, _, _ := strings.Cut(inject, ":")
	return []string{strace, "-f", "-qq", "-o", os.DevNull, "-P", path + "-wal", "-e", "trace=" + calls, "-e", "inject=" + inject}
}

// TestSQLiteKilledAtEverySystemCall kills the worker at a write to the database's log or a sync of it, again and again, at
// another one each time; the last worker finishes. F-KILL-1, F-SQL-1.
func TestSQLiteKilledAtEverySystemCall(t *testing.T) {
	t.Parallel()
	r := sqliteRig(t)
	sagas := orders("k", 6)
	kills, rounds, limit := 0, 12, 30
	if long {
		rounds, limit = 120, 90
	}
	for range rounds {
		call := []string{"pwrite64", "fsync,fdatasync"}[rand.IntN(2)]
		n := 1 + rand.IntN(limit)
		w := r.worker(r.spec(sagas...), traced(t, r.through, fmt.Sprintf("%s:signal=SIGKILL:when=%d", call, n))...)
		<-w.done
		if w.err != nil {
			kills++
			continue
		}
		if len(r.ledger.of("")) > 0 { // this one came through: more work for the others
			more := orders(fmt.Sprint("k", kills, "."), 6)
			r.check(sagas)
			sagas = append(sagas, more...)
		}
	}
	r.worker(r.spec(sagas...)).finish()
	r.check(sagas)
	t.Logf("%d workers killed, %d sagas", kills, len(sagas))
	require.Positive(t, kills)
	var verdict string
	require.NoError(t, r.db.QueryRow(t.Context(), "pragma integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
}

// TestSQLiteDiskFails lets syncs fail, or writes find the disk full, from some moment on. The worker claims nothing any more that
// is not on disk; one that runs when the disk is well again finishes everything. F-SQL-1.
func TestSQLiteDiskFails(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{"fsync,fdatasync:error=EIO:when=9+", "pwrite64:error=ENOSPC:when=60+", "pwrite64:error=EIO:when=60+"} {
		t.Run(strings.ReplaceAll(fault, ":", " "), func(t *testing.T) {
			t.Parallel()
			r := sqliteRig(t)
			sagas := orders("d", 10)
			w := r.worker(r.spec(sagas...), traced(t, r.through, fault)...)
			r.ledger.wait("the worker notices", func(e event) bool { return e.Ev == "failed" || e.Ev == "unknown" || e.Ev == "bad" || e.Ev == "stopped" })
			require.Less(t, r.ledger.count("completed")+r.ledger.count("compensated"), len(sagas))
			w.kill()
			for _, e := range r.ledger.all() {
				if e.Ev == "started" { // acknowledged is on disk
					_, err := r.store.Lookup(t.Context(), saga.ID(e.Saga))
					require.NoError(t, err)
				}
			}
			r.ledger.set(func() { r.ledger.events = nil })
			r.worker(r.spec(sagas...)).finish()
			r.check(sagas)
		})
	}
}

// TestSQLiteFilesThatCannotBeTrusted refuses damaged and newer files with a message, and leaves them as they are. F-SQL-2.
func TestSQLiteFilesThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	r := sqliteRig(t)
	sagas := orders("f", 20)
	r.worker(r.spec(sagas...)).finish()
	_, err := r.db.Exec(t.Context(), "create table filler (b blob)")
	require.NoError(t, err)
	require.NoError(t, r.db.Close())
	good, err := os.ReadFile(r.through)
	require.NoError(t, err)
	open := func(raw []byte) error {
		path := filepath.Join(t.TempDir(), "x.db")
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
		if err == nil {
			_, err = sagasqlite.New(t.Context(), db)
			require.NoError(t, db.Close())
		}
		after, rerr := os.ReadFile(path)
		require.NoError(t, rerr)
		if err != nil {
			require.True(t, bytes.Equal(raw, after), "a refused file is left as it was")
		}
		return err
	}
	require.NoError(t, open(good))
	require.ErrorIs(t, open(good[:len(good)/2]), datasqlite.ErrDamaged, "truncated")
	flipped := bytes.Clone(good)
	flipped[5] ^= 0x40
	require.ErrorIs(t, open(flipped), datasqlite.ErrDamaged, "the header")
	found := 0
	for page := 1; page < len(good)/4096; page++ { // the head of every page
		flipped := bytes.Clone(good)
		flipped[page*4096] ^= 0x55
		if open(flipped) != nil {
			found++
		}
	}
	require.Positive(t, found)
	t.Logf("%d of %d pages with a flipped bit in their head were refused; others are free or not checked by the engine", found, len(good)/4096-1)

	newer := filepath.Join(t.TempDir(), "newer.db")
	require.NoError(t, os.WriteFile(newer, good, 0o600))
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: newer})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	table := versionTable(t, db)
	_, err = db.Exec(context.Background(), "insert into "+table+" (version_id, is_applied) values (99999, 1)")
	require.NoError(t, err)
	_, err = sagasqlite.New(t.Context(), db)
	require.ErrorAs(t, err, new(*migrate.NewerError))
}

func versionTable(t *testing.T, db *datasqlite.DB) (name string) {
	t.Helper()
	err := db.QueryRow(t.Context(), "select m.name from sqlite_schema m, pragma_table_info(m.name) c where c.name = 'version_id' limit 1").Scan(&name)
	require.NoError(t, err)
	return name
}
