package saga_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/internal/sqlstore"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

// faultyDB fails statements and transactions before they run, loses the replies of committed ones, and reports lost
// replies for what was rolled back.
type faultyDB struct {
	data.DB
	rate atomic.Uint32 // faults in 1000 calls
	away atomic.Bool   // nothing gets through
	hits atomic.Int32
}

func (f *faultyDB) fault() bool {
	if rand.Uint32N(1000) < f.rate.Load() {
		f.hits.Add(1)
		return true
	}
	return false
}

func (f *faultyDB) down() bool { return f.away.Load() || f.fault() }

func (f *faultyDB) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	if f.down() {
		return 0, errDown
	}
	n, err := f.DB.Exec(ctx, sql, args...)
	if err == nil && f.fault() {
		return 0, errLost
	}
	return n, err
}

func (f *faultyDB) Query(ctx context.Context, sql string, args ...any) (data.Rows, error) {
	if f.down() {
		return nil, errDown
	}
	return f.DB.Query(ctx, sql, args...)
}

func (f *faultyDB) QueryRow(ctx context.Context, sql string, args ...any) data.Row {
	return data.LazyRow(func() (data.Rows, error) { return f.Query(ctx, sql, args...) })
}

func (f *faultyDB) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	if f.down() {
		return errDown
	}
	err := f.DB.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if f.fault() || f.away.Load() {
			return errLost // rolled back, which nobody can know
		}
		return nil
	})
	if err == nil && f.fault() {
		return errLost // committed
	}
	return err
}

// journey is the state of the random sagas: how often each step's result was folded in.
type journey struct {
	Folds map[string]int
}

// chaos is what the participants of random sagas saw.
type chaos struct {
	rng  *rand.Rand
	mu   sync.Mutex
	seen map[string]*steps // by saga
}

type steps struct {
	tried  map[string]int  // by key
	undoes map[string]bool // steps whose compensation began
	undone map[string]bool // steps whose compensation succeeded
	errs   []string
}

func (c *chaos) of(id saga.ID) *steps {
	s := c.seen[string(id)]
	if s == nil {
		s = &steps{map[string]int{}, map[string]bool{}, map[string]bool{}, nil}
		c.seen[string(id)] = s
	}
	return s
}

// attempt notes an attempt and says how it goes: a step fails a few times first, and for some sagas it is refused.
func (c *chaos) attempt(x saga.Ctx, failures int, refuses bool) error {
	c.mu.Lock()
	s := c.of(x.SagaID())
	s.tried[x.Key()]++
	n := s.tried[x.Key()]
	undo := x.Direction() == saga.Undo
	if undo {
		s.undoes[x.Step()] = true
	} else if s.undoes[x.Step()] {
		s.errs = append(s.errs, "SAFE-7: "+x.Step()+" goes forward after its compensation began")
	}
	c.mu.Unlock()
	pause := time.NewTimer(time.Duration(rand.IntN(4)) * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-x.Done():
		if rand.IntN(2) == 0 { // some steps notice late, and then have happened
			return context.Cause(x)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch number, _ := strconv.Atoi(string(x.SagaID()[strings.LastIndexByte(string(x.SagaID()), '-')+1:])); {
	case n <= failures:
		return errors.New("flaky")
	case refuses && !undo && number%3 == 0:
		return saga.Reject("not today")
	}
	if undo {
		s.undone[x.Step()] = true
	}
	return nil
}

var hasty = saga.Retry{Max: 3, First: time.Millisecond, Cap: 10 * time.Millisecond}

func fold(name string) func(*journey, saga.None) {
	return func(j *journey, _ saga.None) {
		if j.Folds == nil {
			j.Folds = map[string]int{}
		}
		j.Folds[name]++
	}
}

func book(c saga.Ctx, tx data.Tx) error {
	_, err := tx.Exec(c, `insert into booked (saga, step, undo) values ($1, $2, $3)`, string(c.SagaID()), c.Step(), strconv.FormatBool(c.Direction() == saga.Undo))
	return err
}

// leaf draws one step.
func (c *chaos) leaf(name string, knock *saga.Signal[bool]) saga.Node[journey] {
	failures, undoFailures, refuses := max(0, c.rng.IntN(5)-2), max(0, c.rng.IntN(5)-2), c.rng.IntN(8) == 0
	switch c.rng.IntN(8) {
	case 0:
		nap := time.Duration(c.rng.IntN(20)) * time.Millisecond
		return saga.Sleep(name, func(journey) time.Duration { return nap })
	case 1:
		return saga.Await(knock, func(j *journey, _ bool) error { fold(name)(j, saga.None{}); return nil }).Named(name).Within(time.Hour)
	case 2, 3:
		return saga.TxStep(name, func(x saga.Ctx, tx data.Tx, _ journey) (saga.None, error) {
			if err := c.attempt(x, failures, refuses); err != nil {
				return saga.None{}, err
			}
			return saga.None{}, book(x, tx)
		}).Undo(func(x saga.Ctx, tx data.Tx, _ journey, _ saga.None) error {
			if err := c.attempt(x, undoFailures, false); err != nil {
				return err
			}
			return book(x, tx)
		}).Into(fold(name)).Retry(hasty).UndoRetry(hasty)
	default:
		return saga.Step(name, func(x saga.Ctx, _ journey) (saga.None, error) { return saga.None{}, c.attempt(x, failures, refuses) }).
			Undo(func(x saga.Ctx, _ journey, _ saga.None) error { return c.attempt(x, undoFailures, false) }).
			Into(fold(name)).Retry(hasty).UndoRetry(hasty)
	}
}

func (c *chaos) tree(name string, depth int, knock *saga.Signal[bool]) saga.Node[journey] {
	if depth == 2 || c.rng.IntN(3) == 0 {
		return c.leaf(name, knock)
	}
	var nodes []saga.Node[journey]
	for i := range 1 + c.rng.IntN(3) {
		nodes = append(nodes, c.tree(fmt.Sprint(name, ".", i), depth+1, knock))
	}
	switch c.rng.IntN(4) {
	case 0:
		return saga.When(name, func(journey) bool { return true }, nodes...)
	case 1:
		return saga.Sequence(name, nodes...)
	default:
		return saga.Parallel(name, nodes...)
	}
}

func (c *chaos) definition(n int, knock *saga.Signal[bool]) *saga.Def[journey] {
	nodes := []saga.Node[journey]{c.leaf("first", knock), c.tree("tree", 0, knock)}
	if c.rng.IntN(2) == 0 {
		failures := c.rng.IntN(3)
		forward := func(x saga.Ctx, _ journey) (saga.None, error) { return saga.None{}, c.attempt(x, failures, false) }
		nodes = append(nodes, saga.Pivot("pivot", forward).Retry(hasty), saga.Retriable("last", forward).Retry(hasty))
	}
	return saga.Define(fmt.Sprint("chaos", n), 1, nodes...)
}

// TestChaos runs random sagas on three nodes that come and go, over a database that fails, goes away and loses replies,
// with cancels and signals at any time, and then looks at what is promised: SAFE-1, 6, 7, 8, 9, 12, 13.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) { // not in parallel: it counts goroutines
			before := goleak.IgnoreCurrent()
			defer goleak.VerifyNone(t, before)
			rounds := 1
			if n, err := strconv.Atoi(os.Getenv("MMF_TEST_CHAOS_ROUNDS")); err == nil {
				rounds = n
			}
			for range rounds {
				t.Run("round", func(t *testing.T) { chaosRound(t, open(t)) })
			}
		})
	}
}

func chaosRound(t *testing.T, db data.DB) {
	var err error
	if db.Dialect() == data.Postgres {
		_, err = sagapg.New(t.Context(), db)
	} else {
		_, err = sagasqlite.New(t.Context(), db)
	}
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `create table booked (saga text not null, step text not null, undo text not null)`)
	require.NoError(t, err)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &chaos{rng: rand.New(rand.NewPCG(seed, 1)), seen: map[string]*steps{}}
	knock := saga.NewSignal[bool]("knock")
	var defs []*saga.Def[journey]
	var all []saga.Definition
	for n := range 8 {
		d := c.definition(n, knock)
		require.NoError(t, d.Err())
		defs, all = append(defs, d), append(all, d)
	}
	faulty := &faultyDB{DB: db}
	faulty.rate.Store(15)
	store := sqlstore.New(faulty)
	cfg := saga.Config{TTL: time.Second, Poll: 5 * time.Millisecond, Grace: 300 * time.Millisecond}
	var fenced atomic.Int32
	cfg.Hooks.Fenced = func(context.Context, saga.NodeEvent) { fenced.Add(1) }
	cfg.Hooks.Violated = violated(t)

	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	var nodes, work sync.WaitGroup
	stopNodes, quiet := make(chan struct{}), make(chan struct{})
	client, err := saga.New(cfg, store, all...)
	require.NoError(t, err)
	for range 3 {
		nodes.Go(func() {
			e, err := saga.New(cfg, store, all...)
			if err != nil {
				t.Error(err)
				return
			}
			for { // one engine, run again and again
				nodeCtx, stop := context.WithCancel(ctx)
				done := make(chan error, 1)
				go func() { done <- e.Run(nodeCtx) }()
				life := time.Duration(200+rand.IntN(1500)) * time.Millisecond
				select {
				case <-time.After(life):
				case <-quiet:
					<-stopNodes
				case <-stopNodes:
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				select {
				case <-stopNodes:
					return
				default:
				}
			}
		})
	}
	insist := func(what string, do func() error) {
		for {
			err := do()
			if err == nil || errors.Is(err, saga.ErrFinished) || errors.Is(err, saga.ErrPastPivot) {
				return
			}
			if !data.Retryable(err) && !errors.Is(err, data.ErrOutcomeUnknown) || ctx.Err() != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	const sagas = 72
	outcomes := make([]saga.State, sagas)
	folds := make([]map[string]int, sagas)
	gate := make(chan struct{}, 24)
	for i := range sagas {
		gate <- struct{}{}
		if i == sagas/2 {
			faulty.away.Store(true)
			time.AfterFunc(1200*time.Millisecond, func() { faulty.away.Store(false) }) // longer than the lease
		}
		work.Go(func() {
			defer func() { <-gate }()
			d, id := defs[i%len(defs)], saga.ID(fmt.Sprint("s-", i))
			var run *saga.Run[journey]
			insist("start", func() (err error) { run, err = d.Start(ctx, client, id, journey{}); return err })
			if run == nil {
				return
			}
			if i%7 == 0 {
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
				insist("cancel", func() error { return client.Cancel(ctx, id, "ann", "changed her mind") })
			}
			for n := range 12 {
				insist("knock", func() error { return knock.Send(ctx, client, id, true, saga.DedupeKey(fmt.Sprint(n))) })
			}
			for ctx.Err() == nil {
				out, err := run.Result(ctx)
				var parked *saga.ParkedError
				var compensated *saga.CompensatedError
				switch {
				case errors.As(err, &parked):
					insist("retry", func() error { return client.Retry(ctx, id, "ann", "again") })
					time.Sleep(10 * time.Millisecond)
					continue
				case err == nil:
					outcomes[i], folds[i] = saga.State(saga.Completed), out.Folds
					return
				case errors.As(err, &compensated):
					outcomes[i] = saga.State(saga.Compensated)
					return
				case !data.Retryable(err) && !errors.Is(err, data.ErrOutcomeUnknown):
					t.Errorf("%s: %v", id, err)
					return
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(60 * time.Second): // the weather is fine again; whoever does not end now is stuck
		faulty.rate.Store(0)
		close(quiet)
		select {
		case <-ended:
		case <-ctx.Done():
		}
	}
	stuck := ctx.Err() != nil
	close(stopNodes)
	cancel()
	nodes.Wait()
	<-ended
	faulty.rate.Store(0)
	t.Logf("%d faults, fenced %d times, %d goroutines", faulty.hits.Load(), fenced.Load(), runtime.NumGoroutine())
	if stuck {
		for i, o := range outcomes {
			if o == "" {
				h, err := client.History(t.Context(), saga.ID(fmt.Sprint("s-", i)))
				t.Errorf("s-%d does not end: %v", i, err)
				for _, r := range h {
					t.Logf("%d %s %s undo=%t due=%s %s open=%v", r.Seq, r.Kind, r.Node, r.Undo, r.Due, r.Reason, r.Open)
				}
			}
		}
		t.FailNow()
	}
	c.check(t, client, db, defs, outcomes, folds)
}

func (c *chaos) check(t *testing.T, e *saga.Engine, db data.DB, defs []*saga.Def[journey], outcomes []saga.State, folds []map[string]int) {
	booked := map[string]int{}
	rows, err := db.Query(t.Context(), `select saga, step, undo from booked`)
	require.NoError(t, err)
	for rows.Next() {
		var id, step, undo string
		require.NoError(t, rows.Scan(&id, &step, &undo))
		booked[id+" "+step+" "+undo]++
	}
	require.NoError(t, rows.Err())
	for what, n := range booked {
		require.Equal(t, 1, n, "SAFE-1: %s", what)
	}
	for i, o := range outcomes {
		id := saga.ID(fmt.Sprint("s-", i))
		st, err := e.Status(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, o, st.State)
		history, err := e.History(t.Context(), id)
		require.NoError(t, err)
		dump := func() string {
			var b strings.Builder
			for _, r := range history {
				fmt.Fprintf(&b, "%d %s %s undo=%t %.60s open=%v end=%s\n", r.Seq, r.Kind, r.Node, r.Undo, r.Reason, r.Open, r.End)
			}
			return b.String()
		}
		for n, r := range history {
			require.Equal(t, int64(n+1), r.Seq, "SAFE-13")
			require.Equal(t, n == len(history)-1, r.End != "", "SAFE-8: %s\n%s", id, dump())
		}
		seen := c.seen[string(id)]
		if seen == nil {
			continue
		}
		require.Empty(t, seen.errs, "%s\n%s", id, dump())
		for _, s := range st.Steps {
			did, undid := booked[string(id)+" "+s.Name+" false"], booked[string(id)+" "+s.Name+" true"]
			tried := false
			for key := range seen.tried {
				tried = tried || strings.HasSuffix(key, "/"+s.Name+"/do")
			}
			switch {
			case o == saga.State(saga.Completed):
				require.Equal(t, "done", s.Status, "%s %s\n%s", id, s.Name, dump())
				require.False(t, seen.undoes[s.Name], "SAFE-9: %s %s\n%s", id, s.Name, dump())
				if s.Kind == "tx-step" {
					require.Equal(t, 1, did, "%s %s", id, s.Name)
				}
				if s.Undoable || s.Kind == "await" {
					require.Equal(t, 1, folds[i][s.Name], "%s %s is folded once\n%s", id, s.Name, dump())
				}
			case s.Kind == "tx-step":
				require.Equal(t, did, undid, "SAFE-6: %s %s\n%s", id, s.Name, dump())
			case s.Kind == "step" && s.Undoable && tried && s.Status != "rejected":
				require.True(t, seen.undone[s.Name], "SAFE-6: %s %s %s\n%s", id, s.Name, s.Status, dump())
			case s.Name == "pivot":
				require.NotEqual(t, "done", s.Status, "SAFE-9: %s\n%s", id, dump())
			}
		}
	}
	back := `select count(*) from (select epoch < lag(epoch) over (partition by uid order by seq) as back from saga_journal) j where back`
	var n int
	require.NoError(t, db.QueryRow(t.Context(), back).Scan(&n))
	require.Zero(t, n, "SAFE-12")
	for _, table := range []string{"saga_active", "saga_timer"} {
		require.NoError(t, db.QueryRow(t.Context(), `select count(*) from `+table).Scan(&n))
		require.Zero(t, n, table)
	}
}
