package saga_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

func TestLint(t *testing.T) {
	t.Parallel()
	sig := saga.NewSignal[int]("sig")
	await := func(name string) *saga.AwaitNode[order] { return saga.Await(sig, noted).Named(name).Within(time.Hour) }
	quick := saga.Retry{Max: 4, First: time.Second}
	itself := func(o order) []order { return []order{o} }
	each := func(nodes ...saga.Node[order]) *saga.EachNode[order, order] {
		return saga.Each("each", itself, nodes...)
	}
	child := func(nodes ...saga.Node[order]) *saga.ChildNode[order, order] {
		return saga.Child("child", saga.Define("part", 1, nodes...), func(o order) order { return o })
	}
	folds := func(name string) saga.Node[order] {
		return saga.Step(name, act).Undo(takeBack).Into(func(*order, saga.None) {})
	}
	for name, tc := range map[string]struct {
		nodes []saga.Node[order]
		want  []string // rule and node
	}{
		"a good saga": {[]saga.Node[order]{
			saga.TxStep("a", actTx).Undo(takeBackTx), remote("b"), saga.Parallel("c", withUndo("d"), withUndo("e")), await("f"),
			saga.Pivot("g", act), saga.Retriable("h", act), await("i").OnDeadline(saga.Retriable("j", act)), saga.TxRetriable("k", actTx),
		}, nil},
		"all compensatable needs no pivot": {[]saga.Node[order]{withUndo("a"), withUndo("b")}, nil},

		"step without undo":                          {[]saga.Node[order]{saga.Step("a", act)}, []string{"no-undo a"}},
		"remote without undo":                        {[]saga.Node[order]{saga.Remote("a", saga.RemoteSpec[order, saga.None]{Send: func(saga.Ctx, data.Tx, order) error { return nil }})}, []string{"no-undo a"}},
		"transaction without undo, last":             {[]saga.Node[order]{withUndo("a"), saga.TxStep("b", actTx)}, nil},
		"transaction without undo, not last":         {[]saga.Node[order]{saga.TxStep("a", actTx), saga.Pivot("b", act)}, []string{"no-undo a"}},
		"transaction without undo beside a step":     {[]saga.Node[order]{saga.Parallel("p", withUndo("b"), saga.TxStep("a", actTx))}, []string{"no-undo a"}},
		"transaction without undo in another branch": {[]saga.Node[order]{saga.When("w", dear, saga.TxStep("a", actTx)).Otherwise(withUndo("b"))}, nil},
		"transaction without undo, then a branch":    {[]saga.Node[order]{saga.Sequence("s", saga.TxStep("a", actTx)), saga.When("w", dear, saga.Publish("p", func(order) data.Event { return data.Event{} })).Otherwise(await("b"))}, []string{"no-undo a"}},

		"retriable before a step":              {[]saga.Node[order]{saga.Retriable("a", act), withUndo("b")}, []string{"retriable-before-rejection a"}},
		"retriable without a pivot, only once": {[]saga.Node[order]{withUndo("a"), saga.Retriable("b", act), saga.Retriable("c", act)}, []string{"no-pivot b"}},
		"retriable behind a pivot in a branch": {[]saga.Node[order]{saga.When("w", dear, saga.Pivot("p", act), saga.Retriable("a", act))}, nil},

		"short budget of a pivot":          {[]saga.Node[order]{saga.Pivot("a", act).Retry(quick)}, []string{"short-budget a"}},
		"just long enough":                 {[]saga.Node[order]{saga.Pivot("a", act).Retry(saga.Retry{Max: 5, First: time.Second})}, nil},
		"short budget of a compensation":   {[]saga.Node[order]{withUndo("a").UndoRetry(quick)}, []string{"short-budget a"}},
		"a step may give up soon":          {[]saga.Node[order]{withUndo("a").Retry(saga.Retry{Max: 1})}, nil},
		"a remote's timeouts are patience": {[]saga.Node[order]{remote("a").UndoRetry(saga.Retry{Max: 2}).Timeout(10 * time.Second)}, nil},
		"a huge budget":                    {[]saga.Node[order]{saga.Pivot("a", act).Retry(saga.Retry{Max: 1 << 40})}, nil},

		"one sending":                       {[]saga.Node[order]{remote("a").Retry(saga.Retry{Max: 1})}, []string{"single-sending a"}},
		"short reply":                       {[]saga.Node[order]{remote("a").Timeout(500 * time.Millisecond)}, []string{"short-reply-timeout a"}},
		"long transaction":                  {[]saga.Node[order]{saga.TxStep("a", actTx).Undo(takeBackTx).Timeout(time.Minute)}, []string{"long-transaction a"}},
		"short deadline":                    {[]saga.Node[order]{saga.Await(sig, noted).Within(time.Millisecond)}, []string{"short-deadline sig"}},
		"long deadline":                     {[]saga.Node[order]{saga.Await(sig, noted).Within(365 * 24 * time.Hour)}, []string{"long-deadline sig"}},
		"single lane":                       {[]saga.Node[order]{saga.Parallel("p", withUndo("a"))}, []string{"single-lane p"}},
		"shared signal":                     {[]saga.Node[order]{saga.Parallel("p", await("a"), saga.Sequence("s", await("b")))}, []string{"shared-signal b"}},
		"signal twice":                      {[]saga.Node[order]{await("a"), await("b")}, nil},
		"signal per item":                   {[]saga.Node[order]{each(await("a"))}, []string{"shared-signal each[]/a"}},
		"signal per item, in turn":          {[]saga.Node[order]{each(await("a")).Limit(1)}, nil},
		"signal per item of items":          {[]saga.Node[order]{each(saga.Each("in", itself, await("a")).Limit(1))}, []string{"shared-signal each[]/in[]/a"}},
		"transaction without undo per item": {[]saga.Node[order]{each(saga.TxStep("a", actTx))}, []string{"no-undo each[]/a"}},
		"transaction without undo behind a step per item":  {[]saga.Node[order]{each(withUndo("a"), saga.Sequence("s", saga.TxStep("b", actTx)))}, []string{"no-undo each[]/b"}},
		"transaction without undo, last in a child":        {[]saga.Node[order]{withUndo("z"), child(withUndo("a"), saga.TxStep("b", actTx))}, nil},
		"transaction without undo, last in a child, first": {[]saga.Node[order]{child(withUndo("a"), saga.TxStep("b", actTx)), withUndo("z")}, []string{"no-undo child/b"}},
		"retriable per item":                               {[]saga.Node[order]{withUndo("z"), each(withUndo("a"), saga.Retriable("b", act))}, []string{"retriable-before-rejection each[]/b"}},
		"retriable per item behind a pivot":                {[]saga.Node[order]{saga.Pivot("p", act), each(saga.Retriable("b", act))}, nil},
		"retriable behind a child with a pivot":            {[]saga.Node[order]{child(saga.Pivot("p", act)), saga.Retriable("b", act)}, nil},
		"results of items that nobody sees":                {[]saga.Node[order]{each(withUndo("a"), folds("b"))}, []string{"lost-results each"}},
		"results of items that the next one sees":          {[]saga.Node[order]{each(folds("a"), withUndo("b"))}, nil},
		"results of items that are folded":                 {[]saga.Node[order]{each(folds("a")).Into(func(*order, []order) {})}, nil},
		"results of a child that nobody sees":              {[]saga.Node[order]{child(saga.When("w", dear, withUndo("a"), folds("b"))), withUndo("c")}, []string{"lost-results child"}},
		"results of a child that are folded":               {[]saga.Node[order]{child(folds("a")).Into(func(*order, order) {})}, nil},
		"results of items of items are the outer's":        {[]saga.Node[order]{each(saga.Each("in", itself, folds("a")).Into(func(*order, []order) {}))}, nil},
		"results of items of items":                        {[]saga.Node[order]{each(saga.Each("in", itself, folds("a")))}, []string{"lost-results each[]/in"}},
		"signal in branches":                               {[]saga.Node[order]{saga.When("w", dear, await("a")).Otherwise(await("b"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def := saga.Define("x", 2, tc.nodes...)
			require.NoError(t, def.Err())
			var got []string
			for _, w := range saga.Lint(def) {
				got = append(got, w.Rule+" "+w.Node)
				require.Equal(t, "x@2", w.Saga)
				require.NotEmpty(t, w.Problem)
				require.NotEmpty(t, w.Advice)
			}
			require.Equal(t, tc.want, got)
		})
	}
}

func TestLintOfBrokenDefinitionsDoesNotPanic(t *testing.T) {
	t.Parallel()
	saga.Lint(saga.Define[order]("", 0))
	saga.Lint(saga.Define("x", 1, nil, saga.When[order]("w", nil), saga.Retriable("", act), saga.Parallel[order]("")))
}
