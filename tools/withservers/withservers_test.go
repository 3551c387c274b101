package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program builds the command once per test; go's build cache makes that cheap.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "withservers")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// command prepares a run whose servers' folder is inside temp, without servers that the caller's environment names.
func command(t *testing.T, temp string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program(t), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	cmd.WaitDelay = 10 * time.Second // a process left behind holds the output open: fail, do not hang
	for _, k := range kinds {
		cmd.Env = append(cmd.Env, k.preset+"=")
	}
	return cmd
}

// here skips on machines without the servers, unless they are demanded.
func here(t *testing.T) {
	t.Helper()
	for _, k := range kinds {
		if !k.optional && k.missing() {
			if truthy(os.Getenv("MMF_TEST_REQUIRE")) || truthy(os.Getenv("CI")) {
				t.Fatalf("%s is not on this machine", k.title)
			}
			t.Skipf("%s is not on this machine", k.title)
		}
	}
}

// open is a temporary folder that a server's own user may enter.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "withservers-test-") //nolint:usetesting // the parent of t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestCommandFindsItsServersAndNothingRemains(t *testing.T) {
	t.Parallel()
	here(t)
	temp := open(t)
	cmd := command(t, temp, "-only", "postgres,redis", "-require", "--", "sh", "-c", `
		test -f go.mod && test "$MMF_TEST_REQUIRE" = 1 || exit 90
		case "$MMF_TEST_POSTGRES_DSN" in postgres://mmf:*@127.0.0.1:*) ;; *) exit 91 ;; esac
		test -x "$MMF_TEST_POSTGRES_BIN/initdb" || exit 92
		"$MMF_TEST_POSTGRES_BIN/psql" "$MMF_TEST_POSTGRES_DSN" -Atc 'show fsync' || exit 93
		redis-cli -p "${MMF_TEST_REDIS_ADDR#*:}" ping || exit 94
		sleep 1000 & exit 7`)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("want the command's status 7, got %v\n%s", err, out)
	}
	for _, want := range []string{"on\n", "PONG\n", "real servers of this run:\n  PostgreSQL", "\n  Redis"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	empty(t, temp)
}

func TestTerminationReachesTheCommandAndStopsTheServers(t *testing.T) {
	t.Parallel()
	here(t)
	temp := open(t)
	cmd := command(t, temp, "-only", "redis", "--", "sh", "-c", "echo $$ > "+temp+"/pid; exec sleep 1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the command to start", func() bool { return exists(temp + "/pid") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGTERM) {
		t.Errorf("want status %d, got %v", 128+int(syscall.SIGTERM), err)
	}
	if err := os.Remove(temp + "/pid"); err != nil {
		t.Fatal(err)
	}
	empty(t, temp)
}

func TestNoServerOutlivesAKilledRun(t *testing.T) {
	t.Parallel()
	if !exists("/proc/self/cmdline") {
		t.Skip("only Linux ties a child to its parent")
	}
	here(t)
	temp := open(t)
	cmd := command(t, temp, "-only", "postgres,redis", "--", "sh", "-c", "echo up > "+temp+"/up; exec sleep 1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the command to start", func() bool { return exists(temp + "/up") })
	if len(running(t, temp)) == 0 {
		t.Fatal("no server is running: the test would prove nothing")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	await(t, "the servers to end", func() bool { return len(running(t, temp)) == 0 })
}

func TestAMissingServerIsNamedInTheSummary(t *testing.T) {
	missing := kind{name: "redis", title: "Redis", missing: func() bool { return true }}
	l, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close(false) }()
	t.Setenv("PATH", "") // neither apt-get nor a container engine
	servers := l.start(t.Context(), []kind{missing})
	if servers[0].err == nil {
		t.Fatal("a server came from nowhere")
	}
	var out strings.Builder
	summary(&out, servers)
	if !strings.Contains(out.String(), "NOT RUN: nothing was tested against a real Redis") {
		t.Errorf("the summary hides it: %s", out.String())
	}
}

// running lists processes that name the folder in their arguments or work in it.
func running(t *testing.T, folder string) []string {
	t.Helper()
	var found []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		work, _ := os.Readlink(filepath.Join(p, "cwd"))
		if strings.HasPrefix(work, folder) {
			found = append(found, p)
		}
	}
	return found
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("the run left %v behind (%v)", entries, err)
	}
	if left := running(t, dir); len(left) > 0 {
		t.Errorf("the run left processes behind: %v", left)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
