package saga_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/saga"
)

func diff(t require.TestingT, older, newer saga.Definition) saga.Difference {
	d, err := saga.Diff(older, newer)
	require.NoError(t, err)
	return d
}

func TestDiffOfEqualDefinitions(t *testing.T) {
	t.Parallel()
	d := diff(t, everything(), everything())
	require.Empty(t, d.Changes)
	require.True(t, d.Compatible())
	require.NotEmpty(t, d.Frontiers)
}

func TestDiffNamesChanges(t *testing.T) {
	t.Parallel()
	older, newer := saga.NewSignal[int]("sig"), saga.NewSignal[int]("sig2")
	await := func(s *saga.Signal[int], d time.Duration) saga.Node[order] {
		return saga.Await(s, noted).Named("wait").Within(d)
	}
	a := saga.Define("x", 1, withUndo("a"), withUndo("b"), withUndo("gone"), saga.Step("c", act).Undo(takeBack), await(older, time.Hour),
		withUndo("d"), saga.When("w", dear, withUndo("e")), withUndo("f"))
	b := saga.Define("x", 2, withUndo("b"), withUndo("a").Timeout(time.Minute), saga.Step("c", act), await(newer, time.Minute),
		saga.TxStep("d", actTx).Undo(takeBackTx), saga.When("w", dear, withUndo("new")).Otherwise(withUndo("e")),
		saga.Step("f", func(saga.Ctx, order) (int, error) { return 0, nil }).Undo(func(saga.Ctx, order, int) error { return nil }).
			Retry(saga.Retry{Max: 9}).UndoRetry(saga.Retry{Max: 99}))
	var got []string
	for _, c := range diff(t, a, b).Changes {
		got = append(got, c.String())
	}
	require.Equal(t, []string{
		`removed "gone": step`,
		`moved "a": within the definition`,
		`altered "a": timeout 30s → 1m`,
		`altered "c": undo removed`,
		`altered "wait": signal sig → sig2, deadline 1h → 1m`,
		`altered "d": kind step → tx-step, timeout 30s → 2s`,
		`added "new": step in "w"`,
		`moved "e": "w" → otherwise of "w"`,
		`altered "f": result saga.None → int, retry 3×200ms..30s → 9×200ms..30s, undo retry 10×200ms..30s → 99×200ms..30s`,
	}, got)
}

func TestDiffJudgesFrontiers(t *testing.T) {
	t.Parallel()
	type nodes = []saga.Node[order]
	for name, tc := range map[string]struct {
		older, newer nodes
		want         []string // "done|active" and "" or the reason
	}{
		"a step added behind": {
			nodes{withUndo("a"), withUndo("b")},
			nodes{withUndo("a"), withUndo("b"), withUndo("c")},
			[]string{"|a", "", "a|b", ""},
		},
		"a step added between": {
			nodes{withUndo("a"), withUndo("b")},
			nodes{withUndo("a"), withUndo("c"), withUndo("b")},
			[]string{"|a", "", "a|b", `"c" would have had to run before "b"`},
		},
		"a step removed": {
			nodes{withUndo("a"), withUndo("b"), withUndo("c")},
			nodes{withUndo("a"), withUndo("c")},
			[]string{"|a", "", "a|b", `"b" has run or may have, and was removed`, "a b|c", `"b" has run or may have, and was removed`},
		},
		"two steps swapped": {
			nodes{withUndo("z"), withUndo("a"), withUndo("b")},
			nodes{withUndo("z"), withUndo("b"), withUndo("a")},
			[]string{"|z", "", "z|a", `"b" would have had to run before "a"`, "z a|b", "what has run or may have stands in another order or group"},
		},
		"steps now side by side": {
			nodes{withUndo("a"), withUndo("b")},
			nodes{saga.Parallel("p", withUndo("a"), withUndo("b"))},
			[]string{"|a", "what has run or may have stands in another order or group", "a|b", "what has run or may have stands in another order or group"},
		},
		"a lane added": {
			nodes{saga.Parallel("p", withUndo("a"), withUndo("b")), withUndo("c")},
			nodes{saga.Parallel("q", withUndo("a"), withUndo("x"), withUndo("b")), withUndo("c")},
			[]string{"|a b", "", "b|a", "", "a|b", "", "a b|c", `"x" would have had to run before "c"`},
		},
		"a sequence around steps, other budgets, an undo added": {
			nodes{saga.Step("a", act), withUndo("b")},
			nodes{saga.Sequence("s", withUndo("a").Timeout(time.Second), withUndo("b").Retry(saga.Retry{Max: 7}))},
			[]string{"|a", "", "a|b", ""},
		},
		"an undo removed": {
			nodes{withUndo("a"), withUndo("b")},
			nodes{withUndo("a"), saga.Step("b", act)},
			[]string{"|a", "", "a|b", `"b" has run or may have, and was altered: undo removed`},
		},
		"an undecided condition may go, a decided one not": {
			nodes{withUndo("a"), saga.When("w", dear, withUndo("b"))},
			nodes{withUndo("a"), withUndo("b")},
			[]string{"|a", "", "a|w", "", "a w=yes|b", `"w" has run or may have, and was removed`},
		},
		"otherwise added": {
			nodes{saga.When("w", dear, withUndo("b")), withUndo("c")},
			nodes{saga.When("w", dear, withUndo("b")).Otherwise(withUndo("x")), withUndo("c")},
			[]string{"|w", "", "w=yes|b", "", "w=yes b|c", "", "w=no|c", `"x" would have had to run before "c"`},
		},
		"a deadline's nodes": {
			nodes{saga.Await(saga.NewSignal[int]("s"), noted).Within(time.Hour).OnDeadline(withUndo("b")), withUndo("c")},
			nodes{saga.Await(saga.NewSignal[int]("s"), noted).Within(time.Minute), withUndo("c")},
			[]string{"|s", "", "s=expired|b", `"b" has run or may have, and was removed`, "s|c", "", "s=expired b|c", `"b" has run or may have, and was removed`},
		},
		"another payload": {
			nodes{saga.Await(saga.NewSignal[int]("s"), noted).Within(time.Hour), withUndo("c")},
			nodes{saga.Await(saga.NewSignal[string]("s"), func(*order, string) error { return nil }).Within(time.Hour), withUndo("c")},
			[]string{"|s", `"s" has run or may have, and was altered: payload int → string`, "s|c", `"s" has run or may have, and was altered: payload int → string`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diff(t, saga.Define("x", 1, tc.older...), saga.Define("x", 2, tc.newer...))
			got, compatible := []string{}, true
			for _, f := range d.Frontiers {
				got = append(got, strings.Join(f.Done, " ")+"|"+strings.Join(f.Active, " "), f.Reason)
				require.Equal(t, f.Reason == "", f.Compatible)
				compatible = compatible && f.Compatible
			}
			require.Equal(t, tc.want, got)
			require.Equal(t, compatible, d.Compatible())
		})
	}
}

type line struct{ SKU string }

func packOne(saga.Ctx, line) (saga.None, error) { return saga.None{}, nil }

func sortOne(saga.Ctx, line) (saga.None, error) { return saga.None{}, nil }

// lines is an each over items of the type of its nodes.
func lines[T any](nodes ...saga.Node[T]) *saga.EachNode[order, T] {
	return saga.Each("lines", func(order) []T { return nil }, nodes...)
}

func payAs[C any](version int, nodes ...saga.Node[C]) *saga.ChildNode[order, C] {
	return saga.Child("pay", saga.Define("payment", version, nodes...), func(order) (c C) { return c })
}

func TestDiffLooksIntoEachAndChild(t *testing.T) {
	t.Parallel()
	packed, sorted := saga.Step("pack", packOne).Undo(func(saga.Ctx, line, saga.None) error { return nil }), saga.Step("sort", sortOne)
	packedAs := saga.Step("pack", func(saga.Ctx, string) (saga.None, error) { return saga.None{}, nil }).
		Undo(func(saga.Ctx, string, saga.None) error { return nil })
	type nodes = []saga.Node[order]
	for name, tc := range map[string]struct {
		older, newer nodes
		changes      []string
		frontiers    []string
	}{
		"limits": {
			nodes{lines(packed)},
			nodes{lines(packed).Limit(3).Max(20)},
			[]string{`altered "lines": limit 10 → 3, maximum 1000 → 20`},
			[]string{"|lines", "", "lines=opened|lines[]/pack", ""},
		},
		"items of another type": {
			nodes{lines(packed)},
			nodes{lines(packedAs)},
			[]string{`altered "lines": item saga_test.line → string`},
			[]string{"|lines", "", "lines=opened|lines[]/pack", `"lines" has run or may have, and was altered: item saga_test.line → string`},
		},
		"no each any more": {
			nodes{withUndo("a"), lines(packed), withUndo("b")},
			nodes{withUndo("a"), withUndo("b")},
			[]string{`removed "lines": each`, `removed "lines[]/pack": step`},
			[]string{
				"|a", "", "a|lines", "", "a lines=opened|lines[]/pack", `"lines" has run or may have, and was removed`,
				"a lines=opened lines[]/pack|b", `"lines" has run or may have, and was removed`,
			},
		},
		"a step before an item's": {
			nodes{lines(packed), withUndo("b")},
			nodes{lines(sorted, packed), withUndo("b")},
			[]string{`added "lines[]/sort": step in "lines"`},
			[]string{
				"|lines", "", "lines=opened|lines[]/pack", `"lines[]/sort" would have had to run before "lines[]/pack"`,
				"lines=opened lines[]/pack|b", `"lines[]/sort" would have had to run before "lines[]/pack"`,
			},
		},
		"an each before a step": {
			nodes{withUndo("b")},
			nodes{lines(packed), withUndo("b")},
			[]string{`added "lines": each in the definition`, `added "lines[]/pack": step in "lines"`},
			[]string{"|b", `"lines" would have had to run before "b"`},
		},
		"a child's version": {
			nodes{payAs(1, packed)},
			nodes{payAs(2, packed, sorted)},
			[]string{`altered "pay": definition payment@1 → payment@2`, `added "pay/sort": step in "pay"`},
			[]string{"|pay", "", "pay=opened|pay/pack", ""},
		},
		"a child's state": {
			nodes{payAs(1, packed)},
			nodes{payAs(2, packedAs)},
			[]string{`altered "pay": state saga_test.line → string, definition payment@1 → payment@2`},
			[]string{"|pay", "", "pay=opened|pay/pack", `"pay" has run or may have, and was altered: state saga_test.line → string`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := diff(t, saga.Define("x", 1, tc.older...), saga.Define("x", 2, tc.newer...))
			var changes, frontiers []string
			for _, c := range d.Changes {
				changes = append(changes, c.String())
			}
			for _, f := range d.Frontiers {
				frontiers = append(frontiers, strings.Join(f.Done, " ")+"|"+strings.Join(f.Active, " "), f.Reason)
			}
			require.Equal(t, tc.changes, changes)
			require.Equal(t, tc.frontiers, frontiers)
		})
	}
}

func TestDiffRefusesWhatCannotBeCompared(t *testing.T) {
	t.Parallel()
	good := saga.Define("x", 1, withUndo("a"))
	_, err := saga.Diff(good, saga.Define("y", 2, withUndo("a")))
	require.ErrorContains(t, err, "two sagas")
	_, err = saga.Diff(good, saga.Define[order]("x", 2))
	require.ErrorContains(t, err, "no nodes")

	type other struct{ Cents int }
	moved := saga.Define("x", 2, saga.Step("a", func(saga.Ctx, other) (saga.None, error) { return saga.None{}, nil }))
	d := diff(t, good, moved)
	require.False(t, d.Compatible())
	require.Contains(t, d.String(), "altered definition: state saga_test.order → saga_test.other\n")
	require.Contains(t, d.String(), "done [], active [a]: incompatible: the state was a saga_test.order\n")
}

func TestDiffBoundsFrontiers(t *testing.T) {
	t.Parallel()
	var lanes []saga.Node[order]
	for i := range 20 {
		lanes = append(lanes, withUndo(fmt.Sprint("lane", i)))
	}
	def := saga.Define("x", 1, saga.Parallel("p", lanes...))
	d := diff(t, def, def)
	require.True(t, d.Truncated)
	require.False(t, d.Compatible(), "what was not looked at is not called compatible")
	require.LessOrEqual(t, len(d.Frontiers), saga.MaxFrontiers)
}

// sketch is a tree that can be changed before it becomes a definition.
type sketch struct {
	kind, name      string
	nodes, otherway []*sketch
}

func drawSketch(t *rapid.T, depth int, count *int) *sketch {
	kinds := []string{"step", "step", "bare", "sleep", "await"}
	if depth < 2 {
		kinds = append(kinds, "sequence", "parallel", "parallel", "when", "late")
	}
	*count++
	s := &sketch{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	s.name = fmt.Sprintf("%s%d", s.kind, *count)
	if slices.Contains([]string{"sequence", "parallel", "when", "late"}, s.kind) {
		for range rapid.IntRange(1, 3).Draw(t, "nodes") {
			s.nodes = append(s.nodes, drawSketch(t, depth+1, count))
		}
	}
	if s.kind == "when" && rapid.Bool().Draw(t, "otherwise") {
		s.otherway = append(s.otherway, drawSketch(t, depth+1, count))
	}
	return s
}

func (s *sketch) build() saga.Node[order] {
	var nodes, otherway []saga.Node[order]
	for _, n := range s.nodes {
		nodes = append(nodes, n.build())
	}
	for _, n := range s.otherway {
		otherway = append(otherway, n.build())
	}
	switch s.kind {
	case "sequence":
		return saga.Sequence(s.name, nodes...)
	case "parallel":
		return saga.Parallel(s.name, nodes...)
	case "when":
		return saga.When(s.name, dear, nodes...).Otherwise(otherway...)
	case "await", "late":
		return saga.Await(saga.NewSignal[int](s.name), noted).Within(time.Hour).OnDeadline(nodes...)
	case "sleep":
		return saga.Sleep(s.name, func(order) time.Duration { return time.Hour })
	case "bare":
		return saga.Step(s.name, act)
	default:
		return withUndo(s.name)
	}
}

// change alters the tree at random: it adds, drops, swaps, wraps, and takes an Undo away.
func (s *sketch) change(t *rapid.T, count *int) {
	at := s
	for len(at.nodes) > 0 && rapid.Bool().Draw(t, "deeper") {
		next := rapid.SampledFrom(at.nodes).Draw(t, "into")
		if len(next.nodes) == 0 {
			break
		}
		at = next
	}
	i := rapid.IntRange(0, len(at.nodes)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"add", "drop", "swap", "wrap", "unundo", "regroup"}).Draw(t, "change") {
	case "add":
		at.nodes = slices.Insert(at.nodes, i, drawSketch(t, 1, count))
	case "drop":
		if len(at.nodes) > 1 {
			at.nodes = slices.Delete(at.nodes, i, i+1)
		}
	case "swap":
		at.nodes[0], at.nodes[i] = at.nodes[i], at.nodes[0]
	case "wrap":
		*count++
		at.nodes[i] = &sketch{kind: "sequence", name: fmt.Sprint("wrap", *count), nodes: []*sketch{at.nodes[i]}}
	case "unundo":
		if at.nodes[i].kind == "step" {
			at.nodes[i].kind = "bare"
		}
	case "regroup":
		switch at.nodes[i].kind {
		case "parallel":
			at.nodes[i].kind = "sequence"
		case "sequence":
			at.nodes[i].kind = "parallel"
		}
	}
}

func define(version int, root *sketch) *saga.Def[order] {
	var nodes []saga.Node[order]
	for _, n := range root.nodes {
		nodes = append(nodes, n.build())
	}
	return saga.Define("x", version, nodes...)
}

// journalOf is the journal of a saga that stands at the frontier, with a failed attempt of each step that is under way.
func journalOf(f saga.Frontier) []saga.Record {
	history := []saga.Record{{Kind: saga.Started, Payload: json.RawMessage(`{}`)}}
	for _, name := range f.Done {
		name, how, _ := strings.Cut(name, "=")
		switch how {
		case "yes", "no":
			history = append(history, saga.Record{Kind: saga.Branched, Node: name, Taken: how == "yes"})
		case "expired":
			history = append(history, saga.Record{Kind: saga.Armed, Node: name}, saga.Record{Kind: saga.Expired, Node: name})
		default:
			history = append(history, saga.Record{Kind: saga.Done, Node: name, Payload: json.RawMessage(`0`)})
		}
	}
	for _, name := range f.Active {
		switch {
		case strings.HasPrefix(name, "step"), strings.HasPrefix(name, "bare"):
			history = append(history, saga.Record{Kind: saga.Failed, Node: name, Attempt: 1})
		case !strings.HasPrefix(name, "when"):
			history = append(history, saga.Record{Kind: saga.Armed, Node: name})
		}
	}
	for i := range history {
		history[i].Seq = int64(i + 1)
	}
	return history
}

// wayBack cancels the saga and returns what is compensated, side by side and after each other.
func wayBack(t require.TestingT, def *saga.Def[order], history []saga.Record) [][]string {
	var out [][]string
	history = append(slices.Clone(history), saga.Record{Seq: int64(len(history) + 1), Kind: saga.Cancelled, Actor: "a"})
	for {
		commands, err := def.Next(history)
		require.NoError(t, err)
		var names []string
		for _, c := range commands {
			if c.Op == saga.OpEnd {
				require.Equal(t, saga.Compensated, c.Outcome)
				return out
			}
			require.True(t, c.Undo)
			names = append(names, c.Node)
			history = append(history, saga.Record{Seq: int64(len(history) + 1), Kind: saga.Done, Node: c.Node, Undo: true})
		}
		require.NotEmpty(t, names)
		slices.Sort(names)
		out = append(out, names)
	}
}

// What Diff calls compatible, the decision core must carry on with: the same steps under way and the same way back.
func TestDiffAgreesWithTheDecisionCore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count, root := 0, &sketch{}
		for range rapid.IntRange(1, 3).Draw(t, "nodes") {
			root.nodes = append(root.nodes, drawSketch(t, 0, &count))
		}
		older := define(1, root)
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			root.change(t, &count)
		}
		newer := define(2, root)
		require.NoError(t, older.Err())
		require.NoError(t, newer.Err())
		for _, f := range diff(t, older, newer).Frontiers {
			history := journalOf(f)
			commands, err := older.Next(history)
			require.NoError(t, err)
			require.ElementsMatch(t, f.Active, nodesOf(commands), "the frontier is one that the old definition reaches")
			if !f.Compatible {
				continue
			}
			commands, err = newer.Next(history)
			require.NoError(t, err)
			now := nodesOf(commands)
			for _, name := range f.Active {
				if !strings.HasPrefix(name, "when") { // undecided, so it may be gone
					require.Contains(t, now, name)
				}
			}
			require.Equal(t, wayBack(t, older, history), wayBack(t, newer, history))
		}
	})
}

func nodesOf(commands []saga.Command) []string {
	var out []string
	for _, c := range commands {
		out = append(out, c.Node)
	}
	return out
}
