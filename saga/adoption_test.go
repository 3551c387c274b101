package saga_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
)

// ownership counts the lanes that some node owns, and those nodes.
func ownership(t *testing.T, db data.DB) (lanes, nodes int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), `select count(node), count(distinct node) from saga_lane`).Scan(&lanes, &nodes))
	return lanes, nodes
}

// Nodes share lanes, and take over those of one that stops, as soon as it happens and not when they look the next time:
// here that would take two minutes.
func TestNodesComeAndGoAtOnce(t *testing.T) {
	t.Parallel()
	dsn := datatest.PostgresDSN(t)
	def := saga.Define("trip", 1, step("a", nothing))
	cfg := saga.Config{TTL: 10 * time.Minute, Poll: time.Minute}
	db, store := process(t, dsn)
	one, _ := engine(t, cfg, store, def)
	eventually(t, "runs", one.Running)
	_, store = process(t, dsn)
	began := time.Now()
	two, stop := engine(t, cfg, store, def)
	require.Eventually(t, func() bool {
		lanes, nodes := ownership(t, db)
		return lanes == 16 && nodes == 2 && two.Running()
	}, 20*time.Second, 2*time.Millisecond)
	shared := time.Since(began)
	stop()
	began = time.Now()
	require.Eventually(t, func() bool {
		lanes, nodes := ownership(t, db)
		return lanes == 16 && nodes == 1
	}, 20*time.Second, 2*time.Millisecond)
	t.Logf("a new node had its share of the lanes after %s, and %s after its stop the other had all", shared, time.Since(began))
}

// The worker that is killed is this test binary, started again with its role in the environment.
const (
	workerEnv = "MMF_SAGA_TEST_ADOPTED" // the database
	ttlEnv    = "MMF_SAGA_TEST_TTL"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(workerEnv); dsn != "" {
		fmt.Fprintln(os.Stderr, adoptedWorker(dsn))
		os.Exit(1) // it never ends by itself
	}
	os.Exit(m.Run())
}

func adoptedDef() *saga.Def[int] {
	work := func(name string) *saga.StepNode[int, int] {
		return saga.Step(name, func(saga.Ctx, int) (int, error) { time.Sleep(5 * time.Millisecond); return 1, nil })
	}
	return saga.Define("adopted", 1, work("one"), work("two"), work("three"))
}

// adoptedWorker starts sagas, many at a time, until it is killed.
func adoptedWorker(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn})
	if err != nil {
		return err
	}
	store, err := sagapg.New(ctx, db)
	if err != nil {
		return err
	}
	ttl, err := time.ParseDuration(os.Getenv(ttlEnv))
	if err != nil {
		return err
	}
	def := adoptedDef()
	e, err := saga.New(saga.Config{TTL: ttl}, store, def)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Run(ctx) }()
	for n := range 32 {
		go func() {
			for i := 0; ; i++ {
				if _, err := def.Start(ctx, e, saga.ID(fmt.Sprint(n, "-", i)), i); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// The sagas of a process that was killed at full load are carried on and ended by another one. With MMF_TEST_ADOPTION=10s
// it takes place at the default time to live, and tells how long that is. LIVE-2.
func TestKilledProcessIsAdopted(t *testing.T) {
	t.Parallel()
	ttl := time.Second
	if text := os.Getenv("MMF_TEST_ADOPTION"); text != "" {
		var err error
		ttl, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	dsn := datatest.PostgresDSN(t)
	db, store := process(t, dsn)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), workerEnv+"="+dsn, ttlEnv+"="+ttl.String())
	require.NoError(t, cmd.Start())
	count := func(table string) (n int) {
		require.NoError(t, db.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return count("saga_key") > 200 }, time.Minute, 5*time.Millisecond)
	e, _ := engine(t, saga.Config{TTL: ttl, Poll: 100 * time.Millisecond}, store, adoptedDef())
	require.Eventually(t, func() bool { _, nodes := ownership(t, db); return nodes == 2 && e.Running() }, time.Minute, 5*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	killed := time.Now()
	require.Error(t, cmd.Wait(), "it was killed")
	left := count("saga_active")
	require.Positive(t, left, "it was killed in the midst of its work")
	require.Eventually(t, func() bool { _, nodes := ownership(t, db); return nodes == 1 }, time.Minute, 5*time.Millisecond)
	adopted := time.Since(killed)
	require.Eventually(t, func() bool { return count("saga_active") == 0 }, time.Minute, 5*time.Millisecond)
	t.Logf("time to live %s: the lanes were adopted after %s, the %d sagas that lived had all ended after %s",
		ttl, adopted.Round(time.Millisecond), left, time.Since(killed).Round(time.Millisecond))
	var ended int
	require.NoError(t, db.QueryRow(t.Context(), `select count(distinct uid) from saga_journal where body like '%"e":"completed"%'`).Scan(&ended))
	require.Equal(t, count("saga_key"), ended, "every saga that began has ended")
}
