package faulttest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestDatabaseClockJumps moves the database's clock an hour ahead and two hours back while sagas run, and one worker is killed
// before each jump: nothing goes wrong, and the dead are replaced at once. F-CLK-1, F-PG-3 (the clock part).
func TestDatabaseClockJumps(t *testing.T) {
	t.Parallel()
	lib := "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
	if found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1"); len(found) > 0 {
		lib = found[0]
	} else {
		t.Skip("no libfaketime (Debian: apt install libfaketime)")
	}
	clock := filepath.Join(mkdir(t), "clock")
	set := func(offset string) {
		require.NoError(t, os.WriteFile(clock+".new", []byte(offset+"\n"), 0o644))
		require.NoError(t, os.Rename(clock+".new", clock))
	}
	set("+0")
	s := ownServer(t, []string{"LD_PRELOAD=" + lib, "FAKETIME_TIMESTAMP_FILE=" + clock, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"})
	r := rigOn(t, s.dsn)
	skew := func() time.Duration {
		return time.Duration(r.number(`select (extract(epoch from clock_timestamp()) - $1)::bigint`, time.Now().Unix())) * time.Second
	}
	sagas := orders("t", 60)
	stay := r.spec()
	stay.Stay = true
	survivor := r.worker(stay)
	r.ready(survivor)
	jump := func(to string, off func(time.Duration) bool) {
		set(to)
		require.Eventually(t, func() bool { return off(skew()) }, time.Minute, time.Millisecond)
		t.Logf("the database's clock is off by %s", skew())
	}
	leaveBehind := func(sagas []start) (node string) {
		began := len(r.ledger.of("t"))
		s := r.spec(sagas...)
		victim := r.worker(s)
		require.Eventually(t, func() bool { return len(r.ledger.of("t")) > began+30 }, time.Minute, time.Millisecond)
		victim.kill()
		return s.Name
	}
	leaveBehind(sagas[:20])
	jump("+3600", func(d time.Duration) bool { return d > 50*time.Minute })
	r.worker(r.spec(sagas[:20]...)).finish()
	r.check(sagas[:20])

	dead := leaveBehind(sagas[20:40])
	jump("-7200", func(d time.Duration) bool { return d < -100*time.Minute })
	require.Eventually(t, func() bool { return r.number(`select count(*) from saga_node where node like $1`, dead+"-%") == 0 },
		time.Minute, 5*time.Millisecond, "who beat last in the future is not taken for living until then")
	r.worker(r.spec(sagas[40:]...)).finish()
	r.check(sagas[40:])
	// What waits for a moment that the old clock named waits for it on the new one.
	jump("+7200", func(d time.Duration) bool { return d > 100*time.Minute })
	r.worker(r.spec(sagas[20:40]...)).finish()
	r.check(sagas[20:40])
	r.quiet()
	survivor.signal(syscall.SIGTERM)
	survivor.finish()
}

func mkdir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mmf-clock-") //nolint:usetesting // the server's user reads it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestWorkersWithWrongClocks builds the worker with a wall clock that is an hour ahead, and one that is an hour back, and lets
// both work beside one with the right time: nobody steals and nobody keeps a lease, because only the database's clock decides.
// F-ZOMB-3, F-CLK-1.
func TestWorkersWithWrongClocks(t *testing.T) {
	if !long {
		t.Skip("builds the standard library anew; runs with MMF_TEST_LONG=1")
	}
	t.Parallel()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	file := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	const now = "sec, nsec, mono := runtimeNow()\n"
	if !strings.Contains(string(source), now) {
		t.Skip("this Go release reads its clock elsewhere")
	}
	dir := t.TempDir()
	changed := strings.ReplaceAll(string(source), now, now+"\tsec += skew\n") + `
var skew = func() int64 {
	s, _ := syscall.Getenv("MMF_FAULT_SKEW")
	d, _ := ParseDuration(s)
	return int64(d / Second)
}()
`
	changed = strings.Replace(changed, "import (", "import (\n\t\"syscall\"", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "time.go"), []byte(changed), 0o600))
	overlay := fmt.Sprintf(`{"Replace": {%q: %q}}`, file, filepath.Join(dir, "time.go"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), []byte(overlay), 0o600))
	exe := filepath.Join(dir, "skewed")
	out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", exe, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	r := newRig(t)
	sagas := orders("y", 60)
	var procs []*process
	for i, skew := range []string{"1h", "-1h", "0"} {
		sp := r.spec(sagas[20*i : 20*(i+1)]...)
		procs = append(procs, launch(t, sp, "env", "MMF_FAULT_SKEW="+skew, exe, "--"))
	}
	for i, p := range procs {
		p.finish()
		e := r.ledger.wait("the clock of "+p.name, func(e event) bool { return e.Worker == p.name && e.Ev == "ready" })
		at, err := time.Parse(time.RFC3339, e.Text)
		require.NoError(t, err)
		require.InDelta(t, []float64{1, -1, 0}[i], time.Until(at).Hours(), 0.5, "the fault is there")
	}
	r.quiet()
	r.check(sagas)
	require.Zero(t, r.ledger.count("fenced"), "nobody was taken for dead")
	// And a dead one with a wrong clock is replaced.
	for _, skew := range []string{"1h", "-1h"} {
		more := orders("dead"+skew, 10)
		dead := launch(t, r.spec(more...), "env", "MMF_FAULT_SKEW="+skew, exe, "--")
		r.ready(dead)
		dead.kill()
		r.worker(r.spec(more...)).finish()
		r.check(more)
	}
}
