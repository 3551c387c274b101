package datasqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
)

const childEnv = "MMF_TEST_SQLITE_CHILD"

// TestChild is not a test but the process that the tests below kill: it counts in the database that the environment names
// and prints each number after its commit. At the first failure it prints what it got, tries once more, and ends.
func TestChild(t *testing.T) {
	path := os.Getenv(childEnv)
	if path == "" {
		t.Skip("runs as a child process of other tests")
	}
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path})
	if err != nil {
		fmt.Println("open", err)
		return
	}
	for failures := 0; failures < 2; {
		var n int
		err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			return tx.QueryRow(ctx, "insert into t (n) select coalesce(max(n), 0) + 1 from t returning n").Scan(&n)
		})
		if err != nil {
			failures++
			fmt.Println("failed", data.KindOf(err), strings.Contains(err.Error(), "MMF_BROKEN"))
			continue
		}
		fmt.Println("acked", n)
	}
}

// child starts this test binary as [TestChild], behind a prefix of command words.
func child(t *testing.T, path string, prefix ...string) (*exec.Cmd, *bufio.Scanner) {
	self, err := os.Executable()
	require.NoError(t, err)
	words := append(prefix, self, "-test.run=^TestChild$", "-test.timeout=60s")
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

// numbers opens the database, which checks its structure, and returns what is in it.
func numbers(t *testing.T, path string) []int {
	db, err := datasqlite.Open(t.Context(), datasqlite.Config{Path: path, MustExist: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.Query(t.Context(), "select n from t order by n")
	require.NoError(t, err)
	var got []int
	for rows.Next() {
		var n int
		require.NoError(t, rows.Scan(&n))
		got = append(got, n)
	}
	require.NoError(t, rows.Close())
	return got
}

func withTable(t *testing.T) (path string) {
	path = filepath.Join(t.TempDir(), "a.db")
	db := open(t, datasqlite.Config{Path: path})
	_, err := db.Exec(t.Context(), "create table t (n bigint primary key)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	return path
}

func TestAKilledProcessLosesNothingItAcknowledged(t *testing.T) {
	t.Parallel()
	path := withTable(t)
	acked := 0
	for round := range 5 {
		cmd, lines := child(t, path)
		for seen := 0; seen < 10+7*round && lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
				n, err := strconv.Atoi(text)
				require.NoError(t, err)
				acked = n
				seen++
			}
		}
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() { // acknowledgements that were under way when it died
			if text, ok := strings.CutPrefix(lines.Text(), "acked "); ok {
				if n, err := strconv.Atoi(text); err == nil {
					acked = n
				}
			}
		}
		require.Error(t, cmd.Wait())
		got := numbers(t, path)
		require.GreaterOrEqual(t, len(got), acked)
		require.LessOrEqual(t, len(got), acked+1, "at most the one that was under way")
		for i, n := range got {
			require.Equal(t, i+1, n)
		}
	}
}

// After a failed sync the operating system may have dropped the pages it could not write, so going on as if nothing had
// happened would acknowledge what is not on disk.
func TestAFailedSyncIsUnknownAndEndsTheWriting(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace to make a system call fail with")
	}
	path := withTable(t)
	cmd, lines := child(t, path, strace, "-f", "-qq", "-o", "/dev/null", "-P", path+"-wal",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=5+")
	var failures []string
	acked := 0
	deadline := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer deadline.Stop()
	for lines.Scan() {
		switch text := lines.Text(); {
		case strings.HasPrefix(text, "failed "):
			failures = append(failures, text)
		case strings.HasPrefix(text, "acked "):
			acked++
			require.Empty(t, failures, "nothing is acknowledged after a failure")
		case strings.HasPrefix(text, "open "):
			t.Fatal(text)
		}
	}
	if err := cmd.Wait(); err != nil && acked == 0 && len(failures) == 0 {
		t.Skipf("strace cannot trace here: %v", err)
	}
	require.Equal(t, []string{"failed unknown false", "failed unavailable true"}, failures)
	require.GreaterOrEqual(t, len(numbers(t, path)), acked)
}

func TestAFullDatabaseIsSaidToBeFull(t *testing.T) {
	t.Parallel()
	db := open(t, datasqlite.Config{Path: datasqlite.Memory})
	_, err := db.Exec(t.Context(), "create table t (a blob)")
	require.NoError(t, err)
	var pages int
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		return tx.QueryRow(ctx, "pragma max_page_count = 10").Scan(&pages)
	}))
	_, err = db.Exec(t.Context(), "insert into t values (zeroblob(1000000))")
	require.Equal(t, data.KindFull, data.KindOf(err), "%v", err)
	require.NoError(t, db.Ping(t.Context()))
	_, err = db.Exec(t.Context(), "insert into t values (x'00')")
	require.NoError(t, err, "smaller rows still fit")
}
