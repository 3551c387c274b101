package sagatest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// grower draws definitions.
type grower struct {
	w   *sagatest.World
	rng *rand.Rand
	n   int
}

func (g *grower) name() string { g.n++; return fmt.Sprint("n", g.n) }

func (g *grower) leaf() saga.Node[order] {
	name := g.name()
	p := g.w.Participant("p" + strconv.Itoa(g.rng.IntN(3)))
	brief := saga.Retry{Max: 1 + g.rng.IntN(4), First: time.Duration(1+g.rng.IntN(5)) * time.Second}
	switch g.rng.IntN(6) {
	case 0:
		nap := time.Duration(g.rng.IntN(100)) * time.Second
		return saga.Sleep(name, func(order) time.Duration { return nap })
	case 1:
		return saga.TxStep(name, func(c saga.Ctx, tx data.Tx, _ order) (int, error) {
			_, err := tx.Exec(c, `insert into orders (id) values ($1)`, c.Step())
			return 1, err
		}).Undo(func(c saga.Ctx, tx data.Tx, _ order, _ int) error {
			n, err := tx.Exec(c, `delete from orders where id = $1`, c.Step())
			if err == nil && n != 1 {
				err = fmt.Errorf("there are %d rows of %s", n, c.Step())
			}
			return err
		}).Into(func(o *order, n int) { o.Cents += n }).Retry(brief)
	default:
		return saga.Step(name, func(c saga.Ctx, _ order) (int, error) { return 1, p.Do(c, c.Key()) }).
			Undo(func(c saga.Ctx, _ order, _ int) error { return p.Undo(c, c.Key()) }).
			Into(func(o *order, n int) { o.Cents += n }).Retry(brief)
	}
}

func (g *grower) tree(depth int) saga.Node[order] {
	if depth == 2 || g.rng.IntN(3) == 0 {
		return g.leaf()
	}
	var children []saga.Node[order]
	for range 1 + g.rng.IntN(3) {
		children = append(children, g.tree(depth+1))
	}
	switch name := g.name(); g.rng.IntN(4) {
	case 0:
		yes := g.rng.IntN(2) == 0
		return saga.When(name, func(order) bool { return yes }, children...).Otherwise(g.leaf())
	case 1:
		return saga.Sequence(name, children...)
	default:
		return saga.Parallel(name, children...)
	}
}

func (g *grower) grow() *saga.Def[order] {
	nodes := []saga.Node[order]{g.leaf(), g.tree(0), g.leaf()}
	if g.rng.IntN(2) == 0 {
		p := g.w.Participant("end")
		forward := func(c saga.Ctx, _ order) (saga.None, error) { return saga.None{}, p.Do(c, c.Key()) }
		nodes = append(nodes, saga.Pivot("pivot", forward), saga.Retriable("last", forward))
	}
	return saga.Define("random", 1, nodes...)
}

// The engine keeps its promises on random sagas under random schedules of up to six faults at every attempt and every write of the
// journal. MMF_TEST_SCHEDULES sets how many there are (default 2,000), MMF_TEST_SEED repeats a run.
func TestRandomSchedulesBreakNoPromise(t *testing.T) {
	total, seed := 2000, uint64(time.Now().UnixNano())
	if testing.Short() {
		total = 200
	}
	if n, err := strconv.Atoi(os.Getenv("MMF_TEST_SCHEDULES")); err == nil {
		total = n
	}
	if n, err := strconv.ParseUint(os.Getenv("MMF_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("seed %d", seed)
	const perSaga = 20
	fired, ends := map[sagatest.Kind]int{}, map[saga.Outcome]int{}
	for i := range total / perSaga {
		setup := func(w *sagatest.World) *saga.Def[order] {
			return (&grower{w: w, rng: rand.New(rand.NewPCG(seed, uint64(i)))}).grow()
		}
		r := sagatest.Search(t, order{}, setup, sagatest.Schema(schema), sagatest.Random(perSaga, seed+uint64(i)))
		require.Empty(t, r.Findings, "MMF_TEST_SEED=%d: saga %d: %s", seed, i, r)
		for k, n := range r.Fired {
			fired[k] += n
		}
		for o, n := range r.Outcomes {
			ends[o] += n
		}
	}
	t.Logf("%d schedules; ends: %v; faults: %v", total, ends, fired)
	require.Positive(t, ends[saga.Completed])
	require.Positive(t, ends[saga.Compensated])
	for _, k := range []sagatest.Kind{
		sagatest.CrashBefore, sagatest.CrashAfter, sagatest.CrashBeforeRecord, sagatest.CrashAfterRecord, sagatest.LostCommit,
		sagatest.StoreDown, sagatest.Cancel, sagatest.LateEffect, sagatest.LateAfterUndo, sagatest.Stuck, sagatest.Slow,
	} {
		require.Positive(t, fired[k], "no fault of kind %s was made: the run proves less than it says", k)
	}
}
