package faulttest_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
)

// server is a PostgreSQL of the test's own, to be restarted and worse.
type server struct {
	t         *testing.T
	bin, dir  string
	port      int
	attr      *syscall.SysProcAttr
	env, args []string
	cmd       *exec.Cmd
	dsn       string
}

// ownServer starts one, with further environment and settings.
func ownServer(t *testing.T, env []string, settings ...string) *server {
	t.Helper()
	bin := os.Getenv("MMF_TEST_POSTGRES_BIN")
	if bin == "" {
		_ = datatest.PostgresDSN(t) // skips or fails as it does without a server
		t.Skip("MMF_TEST_POSTGRES_BIN is not set: no server of its own for this test")
	}
	dir, err := os.MkdirTemp("", "mmf-pg-") //nolint:usetesting // the server's user cannot reach a folder below t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, bin: bin, dir: dir, attr: &syscall.SysProcAttr{}, env: env, args: settings}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		require.NoError(t, err, "PostgreSQL refuses to run as root")
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		require.NoError(t, os.Chown(dir, uid, gid))
		s.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.port = l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "mmf", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	init.Dir, init.SysProcAttr, init.Env = dir, s.attr, []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	out, err := init.CombinedOutput()
	require.NoError(t, err, string(out))
	s.dsn = fmt.Sprintf("postgres://mmf@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGQUIT) })
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(filepath.Join(s.bin, "postgres"), append([]string{
		"-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=on", "-c", "max_connections=100",
	}, s.args...)...)
	s.cmd.Dir, s.cmd.SysProcAttr = s.dir, s.attr
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C", "TZ=UTC"}, s.env...)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(s.t, err)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	require.NoError(s.t, s.cmd.Start())
	_ = log.Close()
	require.Eventually(s.t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return exec.CommandContext(ctx, filepath.Join(s.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)).Run() == nil
	}, time.Minute, 20*time.Millisecond, "PostgreSQL does not start; see %s", filepath.Join(s.dir, "log"))
}

// stop ends it: SIGQUIT is the immediate way, which is a crash for its clients and leaves recovery to the next start.
func (s *server) stop(how syscall.Signal) {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(how)
		_ = s.cmd.Wait()
	}
}

// TestPostgresCrashesAndReturns crashes the server twice and ends every session once, under load. F-PG-2, F-STORM-1.
func TestPostgresCrashesAndReturns(t *testing.T) {
	t.Parallel()
	s := ownServer(t, nil)
	r := rigOn(t, s.dsn)
	sagas := orders("p", 200)
	w, other := r.worker(r.spec(sagas[:100]...)), r.worker(r.spec(sagas[100:]...))
	progress := func(share int) {
		require.Eventually(t, func() bool { return len(r.ledger.of("p")) > share*10 }, time.Minute, time.Millisecond)
	}
	progress(20)
	s.stop(syscall.SIGQUIT)
	s.start()
	progress(50)
	require.Positive(t, r.number(`select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'`))
	progress(80)
	s.stop(syscall.SIGQUIT)
	time.Sleep(1500 * time.Millisecond) // longer than the leases: nobody is dead, although nobody could beat
	s.start()
	w.finish()
	other.finish()
	r.quiet()
	r.check(sagas)
	require.Positive(t, r.ledger.count("failed"), "the workers noticed")
	log, err := os.ReadFile(filepath.Join(s.dir, "log"))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(string(log), "database system was not properly shut down"))
	t.Logf("unknown outcomes that were reported: %d", r.ledger.count("unknown")+r.ledger.count("start-unknown"))
}
