package faulttest_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datapg"
)

// bouncer starts pgbouncer in transaction mode before a server and returns the connection string through it.
func bouncer(t *testing.T, s *server, settings string) string {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("no pgbouncer (Debian: apt install pgbouncer)")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	dir := mkdir(t)
	users := filepath.Join(dir, "users")
	require.NoError(t, os.WriteFile(users, []byte("\"mmf\" \"\"\n"), 0o644))
	ini := filepath.Join(dir, "ini")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = trust\nauth_file = %s\npool_mode = transaction\ndefault_pool_size = 5\n%s\n", s.port, port, users, settings)
	require.NoError(t, os.WriteFile(ini, []byte(text), 0o644))
	cmd := exec.Command(bin, "-q", ini)
	cmd.Dir, cmd.SysProcAttr = dir, s.attr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	u, err := url.Parse(s.dsn)
	require.NoError(t, err)
	u.Host = fmt.Sprintf("127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", u.Host, time.Second)
		return err == nil && c.Close() == nil
	}, time.Minute, 20*time.Millisecond)
	return u.String()
}

// TestBehindPgbouncer: a pooler in transaction mode that does not know the session's settings is refused at the start, with a
// message; one that ignores them, with statements that are only described, carries sagas. F-PG-6.
func TestBehindPgbouncer(t *testing.T) {
	t.Parallel()
	s := ownServer(t, nil)
	_, err := datapg.Open(t.Context(), datapg.Config{DSN: bouncer(t, s, "")})
	require.ErrorContains(t, err, "unsupported startup parameter")
	r := rigOn(t, s.dsn)
	dsn := bouncer(t, s, "ignore_startup_parameters = enable_seqscan,jit,lock_timeout,idle_in_transaction_session_timeout,statement_timeout")
	r.through = dsn + "&default_query_exec_mode=cache_describe"
	sagas := orders("q", 30)
	a, b := r.worker(r.spec(sagas[:15]...)), r.worker(r.spec(sagas[15:]...))
	a.finish()
	b.finish()
	r.quiet()
	r.check(sagas)
	r.judge(sagas)
}
