package saga_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datapg"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// The worker of the crash tests is this test binary, started again with its role in the environment.
const (
	workerEnv = "MMF_SAGA_TEST_WORKER" // the database: a path or a DSN
	ledgerEnv = "MMF_SAGA_TEST_LEDGER" // where participants write down what they did, outside of the database
	sagasEnv  = "MMF_SAGA_TEST_SAGAS"  // how many to start
)

func TestMain(m *testing.M) {
	if target := os.Getenv(workerEnv); target != "" {
		if err := crashWorker(target); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func openTarget(ctx context.Context, target string) (saga.Store, data.DB, error) {
	if strings.HasPrefix(target, "postgres://") {
		db, err := datapg.Open(ctx, datapg.Config{DSN: target})
		if err != nil {
			return nil, nil, err
		}
		s, err := sagapg.New(ctx, db)
		return s, db, err
	}
	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: target})
	if err != nil {
		return nil, nil, err
	}
	s, err := sagasqlite.New(ctx, db)
	return s, db, err
}

type crashOrder struct {
	N    int
	Fail bool
	Sum  int
}

// crashDef charges outside, books inside, and for odd orders turns back at the end.
func crashDef(ledger *os.File) *saga.Def[crashOrder] {
	note := func(c saga.Ctx) error {
		_, err := ledger.WriteString(fmt.Sprintf("%s %s %s\n", c.SagaID(), c.Direction(), c.Key()))
		return errors.Join(err, ledger.Sync())
	}
	outside := func(name string) *saga.StepNode[crashOrder, int] {
		return saga.Step(name, func(c saga.Ctx, o crashOrder) (int, error) { return o.N, note(c) }).
			Undo(func(c saga.Ctx, _ crashOrder, _ int) error { return note(c) }).
			Into(func(o *crashOrder, n int) { o.Sum += n })
	}
	book := saga.TxStep("book", func(c saga.Ctx, tx data.Tx, o crashOrder) (saga.None, error) {
		_, err := tx.Exec(c, `insert into booked (saga, amount) values ($1, $2)`, string(c.SagaID()), o.N)
		return saga.None{}, err
	}).Undo(func(c saga.Ctx, tx data.Tx, o crashOrder, _ saga.None) error {
		_, err := tx.Exec(c, `insert into booked (saga, amount) values ($1, $2)`, string(c.SagaID()), -o.N)
		return err
	})
	last := saga.Step("last", func(c saga.Ctx, o crashOrder) (int, error) {
		if o.Fail {
			return 0, saga.Reject("as asked")
		}
		return 0, note(c)
	})
	return saga.Define("crash", 1, outside("charge"), book, saga.Parallel("both", outside("left"), outside("right")), last)
}

func crashWorker(target string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ledger, err := os.OpenFile(os.Getenv(ledgerEnv), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	store, _, err := openTarget(ctx, target)
	if err != nil {
		return err
	}
	def := crashDef(ledger)
	e, err := saga.New(saga.Config{TTL: time.Second, Poll: 10 * time.Millisecond}, store, def)
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- e.Run(ctx) }()
	var n int
	_, _ = fmt.Sscan(os.Getenv(sagasEnv), &n)
	fmt.Println("ready")
	for i := range n {
		if _, err := def.Start(ctx, e, saga.ID(fmt.Sprint("o", i)), crashOrder{N: i + 1, Fail: i%2 == 1}); err != nil {
			return err
		}
	}
	for i := range n {
		run, err := def.Find(ctx, e, saga.ID(fmt.Sprint("o", i)))
		if err != nil {
			return err
		}
		var ce *saga.CompensatedError
		if _, err := run.Result(ctx); err != nil && !errors.As(err, &ce) {
			return err
		}
	}
	cancel()
	return <-failed
}

// TestKilledWorkersLoseAndDoubleNothing kills the worker with SIGKILL at random moments, again and again, and then lets one
// finish. F-KILL-1, F-KILL-2.
func TestKilledWorkersLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	for _, engine := range []data.Dialect{data.SQLite, data.Postgres} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			target := filepath.Join(t.TempDir(), "crash.db")
			if engine == data.Postgres {
				target = datatest.PostgresDSN(t)
			}
			store, db, err := openTarget(t.Context(), target)
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			_, err = db.Exec(t.Context(), `create table booked (saga text not null, amount bigint not null)`)
			require.NoError(t, err)
			ledger := filepath.Join(t.TempDir(), "ledger")
			const sagas, kills = 40, 5
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			killed := 0
			for range kills {
				if !runWorker(t, target, ledger, sagas, time.Duration(50+rng.IntN(1600))*time.Millisecond) {
					killed++
				}
			}
			require.True(t, runWorker(t, target, ledger, sagas, 0), "the last worker finishes")
			require.Positive(t, killed, "a run in which nobody was killed shows nothing")
			checkCrash(t, store, db, ledger, sagas)
		})
	}
}

// runWorker starts a worker and kills it after the given time, or lets it finish when that is zero. It reports whether the
// worker ended by itself.
func runWorker(t *testing.T, target, ledger string, sagas int, killAfter time.Duration) bool {
	t.Helper()
	cmd, stderr := startWorker(t, target, ledger, sagas)
	if killAfter > 0 {
		time.AfterFunc(killAfter, func() { _ = cmd.Process.Kill() })
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() < 0 {
		return false
	}
	require.NoError(t, err, stderr.String())
	return true
}

// startWorker returns when the worker is about to start its sagas.
func startWorker(t *testing.T, target, ledger string, sagas int) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), workerEnv+"="+target, ledgerEnv+"="+ledger, fmt.Sprintf("%s=%d", sagasEnv, sagas))
	stderr := &strings.Builder{}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		_ = cmd.Wait()
		t.Fatalf("worker did not start: %s", stderr)
	}
	return cmd, stderr
}

// TestZombieIsFenced pauses a worker with SIGSTOP, lets another take over and finish, and wakes the first: nothing it still
// wanted to write is taken. F-ZOMB-1, SAFE-12.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	target, ledger := datatest.PostgresDSN(t), filepath.Join(t.TempDir(), "ledger")
	store, db, err := openTarget(t.Context(), target)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.Exec(t.Context(), `create table booked (saga text not null, amount bigint not null)`)
	require.NoError(t, err)
	const sagas = 200
	zombie, stderr := startWorker(t, target, ledger, sagas)
	count := func(query string) (n int) {
		require.NoError(t, db.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return count(`select count(*) from saga_journal`) > sagas/2 }, 20*time.Second, time.Millisecond)
	require.NoError(t, zombie.Process.Signal(syscall.SIGSTOP))
	require.NotZero(t, count(`select count(*) from saga_active`), "the zombie was stopped in the middle of its work")
	require.True(t, runWorker(t, target, ledger, sagas, 0))
	checkCrash(t, store, db, ledger, sagas)
	require.NoError(t, zombie.Process.Signal(syscall.SIGCONT))
	require.NoError(t, zombie.Wait(), stderr.String())
	checkCrash(t, store, db, ledger, sagas)
	const change = ` lag(epoch) over (partition by uid order by seq) as changed from saga_journal) j where changed`
	require.Zero(t, count(`select count(*) from (select epoch <`+change),
		"the epochs of a saga's records never go back")
	require.NotZero(t, count(`select count(*) from (select epoch >`+change),
		"some saga changed its owner half way")
}

func checkCrash(t *testing.T, store saga.Store, db data.DB, ledger string, sagas int) {
	t.Helper()
	raw, err := os.ReadFile(ledger)
	require.NoError(t, err)
	effects := map[string]map[string]bool{} // saga+direction → keys; repetitions under one key are one effect
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		require.Len(t, f, 3)
		k := f[0] + " " + f[1]
		if effects[k] == nil {
			effects[k] = map[string]bool{}
		}
		effects[k][f[2]] = true
	}
	booked := map[string][]int64{}
	rows, err := db.Query(t.Context(), `select saga, amount from booked`)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		var n int64
		require.NoError(t, rows.Scan(&id, &n))
		booked[id] = append(booked[id], n)
	}
	require.NoError(t, rows.Err())
	for i := range sagas {
		id := fmt.Sprint("o", i)
		ref, err := store.Lookup(t.Context(), saga.ID(id))
		require.NoError(t, err)
		h, err := store.Load(t.Context(), []saga.UID{ref.UID})
		require.NoError(t, err)
		last := h[0].Records[len(h[0].Records)-1]
		n := int64(i + 1)
		if i%2 == 0 {
			require.Equal(t, saga.Completed, last.End, id)
			require.Equal(t, []int64{n}, booked[id], "%s: the transactional effect happened exactly once", id)
			require.Len(t, effects[id+" do"], 4, id)
			require.Empty(t, effects[id+" undo"], id)
		} else {
			require.Equal(t, saga.Compensated, last.End, id)
			require.ElementsMatch(t, []int64{n, -n}, booked[id], "%s: done once and taken back once", id)
			require.Len(t, effects[id+" do"], 3, id)
			require.Len(t, effects[id+" undo"], 3, id)
		}
	}
	live, err := store.List(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, live)
}
