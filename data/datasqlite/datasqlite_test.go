package datasqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
)

func open(t *testing.T, cfg datasqlite.Config) *datasqlite.DB {
	t.Helper()
	db, err := datasqlite.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConfigListsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := datasqlite.Open(t.Context(), datasqlite.Config{BusyTimeout: -1, ReadConns: 65})
	require.ErrorContains(t, err, "Path")
	require.ErrorContains(t, err, "BusyTimeout")
	require.ErrorContains(t, err, "ReadConns")
}

func TestOpenSetsTheSafePragmas(t *testing.T) {
	t.Parallel()
	db := open(t, datasqlite.Config{Path: filepath.Join(t.TempDir(), "odd ?#%name.db")})
	err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
			var got string
			require.NoError(t, tx.QueryRow(ctx, "pragma "+pragma).Scan(&got))
			require.Equal(t, want, got, pragma)
		}
		return nil
	})
	require.NoError(t, err)
	_, err = os.Stat(db.Path())
	require.NoError(t, err)
}

func TestCommittedRowsSurviveReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, datasqlite.Config{Path: path})
	_, err := db.Exec(t.Context(), "create table t (a integer)")
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), "insert into t values ($1)", 7)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	var a int
	require.NoError(t, open(t, datasqlite.Config{Path: path, MustExist: true}).QueryRow(t.Context(), "select a from t").Scan(&a))
	require.Equal(t, 7, a)
}

func TestMustExistCreatesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	_, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path, MustExist: true})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, path)
}

func TestDamagedFilesAreRefusedAndKept(t *testing.T) {
	t.Parallel()
	intact := func(t *testing.T) []byte {
		path := filepath.Join(t.TempDir(), "whole.db")
		db := open(t, datasqlite.Config{Path: path})
		_, err := db.Exec(t.Context(), "create table t (a text); create index i on t (a)")
		require.NoError(t, err)
		for range 300 {
			_, err = db.Exec(t.Context(), "insert into t values (hex(randomblob(100)))")
			require.NoError(t, err)
		}
		require.NoError(t, db.Close())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return content
	}(t)
	flipped := append([]byte(nil), intact...)
	for i := 4096; i < len(flipped); i += 4096 {
		flipped[i] ^= 0xff // the type byte of each page
	}
	for name, content := range map[string][]byte{
		"empty":          {},
		"no database":    []byte("hello, this is a text file, which is longer than the one hundred bytes of a header, as you can see here"),
		"short header":   intact[:50],
		"page cut off":   intact[:len(intact)-4096],
		"half a page":    intact[:len(intact)/2+100],
		"bits flipped":   flipped,
		"magic replaced": append([]byte("SQLite format 4\x00"), intact[16:]...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.db")
			require.NoError(t, os.WriteFile(path, content, 0o600))
			for _, disableCheck := range []bool{false, true} {
				if disableCheck && name == "bits flipped" {
					continue // only reading the whole file finds these
				}
				_, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path, DisableCheck: disableCheck})
				require.ErrorIs(t, err, datasqlite.ErrDamaged)
				require.ErrorContains(t, err, path)
				if name == "page cut off" || name == "half a page" {
					require.ErrorContains(t, err, fmt.Sprintf("truncated: %d bytes of %d", len(content), len(intact)))
				}
			}
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, content, after)
		})
	}
}

func TestMemoryIsPrivateAndLeavesNothing(t *testing.T) {
	t.Parallel()
	a, b := open(t, datasqlite.Config{Path: datasqlite.Memory}), open(t, datasqlite.Config{Path: datasqlite.Memory})
	_, err := a.Exec(t.Context(), "create table t (a integer)")
	require.NoError(t, err)
	_, err = b.Exec(t.Context(), "insert into t values (1)")
	require.Error(t, err)
	require.NoError(t, a.Close())
	require.NoFileExists(t, a.Path())
}

func TestAnotherProcessHoldingTheLockIsATimeout(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	a, b := open(t, datasqlite.Config{Path: path}), open(t, datasqlite.Config{Path: path, BusyTimeout: 20e6})
	_, err := a.Exec(t.Context(), "create table t (a integer)")
	require.NoError(t, err)
	err = a.InTx(t.Context(), func(context.Context, data.Tx) error {
		_, err := b.Exec(t.Context(), "insert into t values (1)")
		require.Equal(t, data.KindTimeout, data.KindOf(err), "%v", err)
		return nil
	})
	require.NoError(t, err)
	_, err = b.Exec(t.Context(), "insert into t values (1)")
	require.NoError(t, err)
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	t.Parallel()
	db := open(t, datasqlite.Config{Path: datasqlite.Memory})
	_, err := db.Exec(t.Context(), "create table t (a integer)")
	require.NoError(t, err)
	err = db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		_, err := tx.Exec(ctx, "insert into t values (1)")
		require.NoError(t, err)
		var n int
		require.NoError(t, db.QueryRow(t.Context(), "select count(*) from t").Scan(&n))
		require.Zero(t, n, "uncommitted rows are invisible")
		return nil
	})
	require.NoError(t, err)
}

func TestReadingConnectionsCannotWrite(t *testing.T) {
	t.Parallel()
	db := open(t, datasqlite.Config{Path: datasqlite.Memory})
	_, err := db.Exec(t.Context(), "create table t (a integer)")
	require.NoError(t, err)
	var mode string
	err = db.QueryRow(t.Context(), "pragma user_version = 3").Scan(&mode) // looks like reading, is not
	require.Error(t, err)
	require.NotErrorIs(t, err, data.ErrNoRows)
}
