package migrate_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

var (
	first  = file("-- +goose Up\ncreate table pets (id bigint primary key);\ninsert into pets values (1);\n-- +goose Down\ndrop table pets;\n")
	second = file("-- +goose Up\nalter table pets add column name text;\n-- +goose Down\nalter table pets drop column name;\n")
	broken = file("-- +goose Up\ncreate table half (id bigint);\ninsert into missing values (1);\n-- +goose Down\nselect 1;\n")
	one    = fstest.MapFS{"00001_pets.sql": first}
	two    = fstest.MapFS{"00001_pets.sql": first, "00002_name.sql": second}
)

func run(t *testing.T, open func(t testing.TB) data.DB) {
	cfg := migrate.Config{Name: "pets"}
	versions := func(t *testing.T, db data.DB, database, known int64) {
		t.Helper()
		d, k, err := migrate.Version(t.Context(), db, two, cfg)
		require.NoError(t, err)
		require.Equal(t, [2]int64{database, known}, [2]int64{d, k})
	}
	t.Run("up, again, down", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		versions(t, db, 0, 2)
		require.NoError(t, migrate.Up(t.Context(), db, two, cfg))
		require.NoError(t, migrate.Up(t.Context(), db, two, cfg))
		versions(t, db, 2, 2)
		require.NoError(t, migrate.Down(t.Context(), db, two, cfg))
		versions(t, db, 1, 2)
		require.NoError(t, migrate.Down(t.Context(), db, two, cfg))
		require.NoError(t, migrate.Down(t.Context(), db, two, cfg))
		versions(t, db, 0, 2)
	})
	t.Run("a newer database is refused", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		require.NoError(t, migrate.Up(t.Context(), db, two, cfg))
		for _, f := range []func() error{
			func() error { return migrate.Up(t.Context(), db, one, cfg) },
			func() error { return migrate.Down(t.Context(), db, one, cfg) },
		} {
			err := f()
			var newer *migrate.NewerError
			require.ErrorAs(t, err, &newer)
			require.Equal(t, &migrate.NewerError{Name: "pets", Database: 2, Known: 1}, newer)
			require.ErrorContains(t, err, "run the newer binary")
		}
		versions(t, db, 2, 2)
	})
	t.Run("a failing file leaves the version before it", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		files := fstest.MapFS{"00001_pets.sql": first, "00002_broken.sql": broken}
		require.ErrorContains(t, migrate.Up(t.Context(), db, files, cfg), "missing")
		versions(t, db, 1, 2)
		_, err := db.Exec(t.Context(), "insert into half values (1)")
		require.Error(t, err, "the file's first statement was rolled back with the rest")
		require.NoError(t, migrate.Up(t.Context(), db, two, cfg))
		versions(t, db, 2, 2)
	})
	t.Run("sets are independent", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		require.NoError(t, migrate.Up(t.Context(), db, two, cfg))
		other := fstest.MapFS{"00001_toys.sql": file("-- +goose Up\ncreate table toys (id bigint);\n")}
		require.NoError(t, migrate.Up(t.Context(), db, other, migrate.Config{Name: "toys"}))
		_, err := db.Exec(t.Context(), "insert into toys values (1)")
		require.NoError(t, err)
	})
	t.Run("the engine's own folder wins", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		files := fstest.MapFS{"00001_wrong.sql": broken, string(db.Dialect()) + "/00001_pets.sql": first}
		require.NoError(t, migrate.Up(t.Context(), db, files, cfg))
	})
	t.Run("migrators at once", func(t *testing.T) {
		t.Parallel()
		db := open(t)
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = migrate.Up(t.Context(), db, two, cfg) })
		}
		wg.Wait()
		for _, err := range errs {
			require.NoError(t, err)
		}
		versions(t, db, 2, 2)
		var n int
		require.NoError(t, db.QueryRow(t.Context(), "select count(*) from pets").Scan(&n))
		require.Equal(t, 1, n, "each file ran once")
		require.NoError(t, db.QueryRow(t.Context(), "select count(*) from mmf_migrations_pets where version_id > 0").Scan(&n))
		require.Equal(t, 2, n)
	})
}

func TestEngines(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, open)
		})
	}
}

func TestPostgresWaitsForTheOtherMigrator(t *testing.T) {
	t.Parallel()
	db := datatest.Postgres(t)
	cfg := migrate.Config{Name: "pets"}
	require.NoError(t, migrate.Up(t.Context(), db, one, cfg))
	slow := fstest.MapFS{"00001_pets.sql": first, "00002_slow.sql": file("-- +goose Up\ncreate table slow (id bigint);\nselect pg_sleep(0.5);\n")}
	done := make(chan error, 1)
	go func() { done <- migrate.Up(t.Context(), db, slow, cfg) }()
	held := func() (n int) {
		require.NoError(t, db.QueryRow(t.Context(), "select count(*) from pg_locks where locktype = 'advisory'").Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return held() == 1 }, 5*time.Second, time.Millisecond)
	impatient := migrate.Config{Name: "pets", LockWait: 10 * time.Millisecond}
	require.ErrorIs(t, migrate.Up(t.Context(), db, slow, impatient), context.DeadlineExceeded)
	require.NoError(t, migrate.Up(t.Context(), db, slow, cfg), "waited")
	require.NoError(t, <-done)
	require.Zero(t, held(), "no lock is left")
}

// A migrator that dies between two statements of a file: its session ends, and the next one starts at the file again.
func TestPostgresSurvivesAKilledMigrator(t *testing.T) {
	t.Parallel()
	db := datatest.Postgres(t)
	cfg := migrate.Config{Name: "pets"}
	files := fstest.MapFS{"00001_pets.sql": first, "00002_slow.sql": file(
		"-- +goose Up\ncreate table half (id bigint);\nselect pg_sleep(30);\ncreate table whole (id bigint);\n")}
	done := make(chan error, 1)
	go func() { done <- migrate.Up(t.Context(), db, files, cfg) }()
	require.Eventually(t, func() bool {
		var killed int
		require.NoError(t, db.QueryRow(t.Context(), `select count(*) from (
			select pg_terminate_backend(pid) from pg_stat_activity
			where datname = current_database() and query like '%pg_sleep(30)%' and pid <> pg_backend_pid()) k`).Scan(&killed))
		return killed == 1
	}, 10*time.Second, 5*time.Millisecond)
	require.Error(t, <-done)
	at, _, err := migrate.Version(t.Context(), db, files, cfg)
	require.NoError(t, err)
	require.EqualValues(t, 1, at)
	require.NoError(t, migrate.Up(t.Context(), db, fstest.MapFS{"00001_pets.sql": first, "00002_quick.sql": file(
		"-- +goose Up\ncreate table half (id bigint);\ncreate table whole (id bigint);\n")}, cfg))
}

// Two processes do not share a pool: on SQLite only the file's lock is between them.
func TestSQLiteMigratorsInTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		wg.Go(func() { errs[i] = migrate.Up(t.Context(), db, two, migrate.Config{Name: "pets"}) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Pets", "a-b", "a;drop", "1a"} {
		require.ErrorContains(t, migrate.Up(t.Context(), datatest.SQLite(t), one, migrate.Config{Name: name}), "Config.Name", name)
	}
}

func TestADatabaseWithoutSQLDBIsRefused(t *testing.T) {
	t.Parallel()
	wrapped := struct{ data.DB }{datatest.SQLite(t)}
	require.ErrorContains(t, migrate.Up(t.Context(), wrapped, one, migrate.Config{Name: "a"}), "SQLDB")
}
