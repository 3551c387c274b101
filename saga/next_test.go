package saga_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/saga"
)

// leafOrder knows, for a random tree, which steps are ordered: before[b] holds every a that must be done before b.
type leafOrder struct {
	n      int
	before map[string][]string
}

// tree draws a node over at most a few levels and returns its leaves.
func (o *leafOrder) tree(t *rapid.T, depth int, earlier []string) (saga.Node[trip], []string) {
	kind := "step"
	if depth < 3 {
		kind = rapid.SampledFrom([]string{"step", "step", "sequence", "parallel", "when"}).Draw(t, "kind")
	}
	o.n++
	name := fmt.Sprintf("%s-%d", kind, o.n)
	if kind == "step" {
		o.before[name] = slices.Clone(earlier)
		n := saga.Step(name, func(saga.Ctx, trip) (string, error) { return "", nil }).
			Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) })
		if rapid.Bool().Draw(t, "undoable") {
			n.Undo(func(saga.Ctx, trip, string) error { return nil })
		} else {
			o.before[name+" "] = nil // a mark: has no undo
		}
		return n, []string{name}
	}
	var nodes []saga.Node[trip]
	var leaves []string
	for range rapid.IntRange(1, 3).Draw(t, "children") {
		prior := earlier
		if kind != "parallel" {
			prior = append(slices.Clone(earlier), leaves...)
		}
		n, l := o.tree(t, depth+1, prior)
		nodes, leaves = append(nodes, n), append(leaves, l...)
	}
	switch kind {
	case "parallel":
		return saga.Parallel(name, nodes...), leaves
	case "when":
		return saga.When(name, func(trip) bool { return true }, nodes...), leaves
	default:
		return saga.Sequence(name, nodes...), leaves
	}
}

// simulation is a worker without a clock or a store: it drives the pure core with random outcomes in random order.
type simulation struct {
	t        *rapid.T
	def      *saga.Def[trip]
	history  []saga.Record
	inflight map[string]bool // step → undo
	started  map[string]bool
	done     map[string]bool
	unknown  map[string]bool
	undone   map[string]bool
	turned   bool
	order    *leafOrder
}

func (s *simulation) add(r saga.Record) {
	r.Seq, r.At = int64(len(s.history)+1), time.UnixMicro(int64(len(s.history)+1)).UTC()
	if (r.Kind == saga.Rejected || r.Kind == saga.Unknown || r.Kind == saga.Cancelled) && !s.turned {
		s.turned = true
		r.Open = slices.DeleteFunc(s.flying(), func(name string) bool { return name == r.Node })
		for name := range s.started { // the outcome of a failed attempt that was to be repeated stays unknown
			if !slices.Contains(s.flying(), name) && !s.done[name] && name != r.Node {
				s.unknown[name] = true
			}
		}
	}
	s.history = append(s.history, r)
}

// flying lists the forward attempts and undos under way, in a fixed order.
func (s *simulation) flying() []string { return slices.Sorted(maps.Keys(s.inflight)) }

func (s *simulation) begin(c saga.Command) {
	s.inflight[c.Node] = c.Undo
	if !c.Undo {
		require.False(s.t, s.turned, "SAFE-7: %s goes forward after the saga turned back", c.Node)
		for _, a := range s.order.before[c.Node] {
			require.True(s.t, s.done[a], "SAFE-3: %s runs before %s is done", c.Node, a)
		}
		s.started[c.Node] = true
		return
	}
	require.True(s.t, s.done[c.Node] || s.unknown[c.Node], "SAFE-5: %s is undone and never happened", c.Node)
	require.False(s.t, s.undone[c.Node], "SAFE-1: %s is undone twice", c.Node)
	for b, earlier := range s.order.before {
		if slices.Contains(earlier, c.Node) && (s.done[b] || s.unknown[b]) && s.hasUndo(b) {
			require.True(s.t, s.undone[b], "SAFE-4: %s is undone before %s", c.Node, b)
		}
	}
}

func (s *simulation) hasUndo(name string) bool {
	_, none := s.order.before[name+" "]
	return !none
}

func (s *simulation) finish(name string) {
	undo := s.inflight[name]
	delete(s.inflight, name)
	if undo {
		s.undone[name] = true
		s.add(saga.Record{Kind: saga.Done, Node: name, Undo: true})
		return
	}
	outcomes := []string{"done", "done", "done", "rejected", "unknown", "failed"}
	switch rapid.SampledFrom(outcomes).Draw(s.t, "outcome of "+name) {
	case "done":
		s.done[name] = true
		s.add(saga.Record{Kind: saga.Done, Node: name, Payload: json.RawMessage(`"r"`)})
	case "rejected":
		s.add(saga.Record{Kind: saga.Rejected, Node: name, Reason: "no"})
	case "unknown":
		s.unknown[name] = true
		s.add(saga.Record{Kind: saga.Unknown, Node: name, Reason: "silence"})
	case "failed":
		if s.turned { // an interrupted attempt has no second one
			s.unknown[name] = true
		}
		s.add(saga.Record{Kind: saga.Failed, Node: name, Attempt: 1, Reason: "again"})
	}
}

// TestDecisionsKeepTheOrder drives random trees with random outcomes, interleavings and cancels. SAFE-1, 3, 4, 5, 6, 7, 9.
func TestDecisionsKeepTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		order := &leafOrder{before: map[string][]string{}}
		root, _ := order.tree(t, 0, nil)
		def := saga.Define("random", 1, root)
		require.NoError(t, def.Err())
		s := &simulation{
			t: t, def: def, order: order, inflight: map[string]bool{}, started: map[string]bool{},
			done: map[string]bool{}, unknown: map[string]bool{}, undone: map[string]bool{},
		}
		s.add(saga.Record{Kind: saga.Started, Payload: json.RawMessage(`{}`)})
		for range 1000 {
			cmds, err := def.Next(s.history)
			require.NoError(t, err)
			again, err := def.Next(s.history)
			require.NoError(t, err)
			require.Equal(t, len(cmds), len(again), "the core is deterministic")
			if len(cmds) == 1 && cmds[0].Op == saga.OpEnd {
				s.atTheEnd(cmds[0].Outcome)
				return
			}
			s.step(cmds)
		}
		t.Fatal("the saga does not end")
	})
}

func (s *simulation) step(cmds []saga.Command) {
	var moves []func()
	for _, c := range cmds {
		_, flying := s.inflight[c.Node]
		switch {
		case c.Op == saga.OpDecide:
			moves = append(moves, func() { s.add(saga.Record{Kind: saga.Branched, Node: c.Node, Taken: true}) })
		case c.Op == saga.OpSettle && !flying:
			moves = append(moves, func() { s.unknown[c.Node] = true; s.add(saga.Record{Kind: saga.Unknown, Node: c.Node}) })
		case c.Op == saga.OpRun && !flying:
			moves = append(moves, func() { s.begin(c) })
		}
	}
	for _, name := range s.flying() {
		moves = append(moves, func() { s.finish(name) })
	}
	if !s.turned && rapid.IntRange(0, 19).Draw(s.t, "cancel") == 0 {
		moves = append(moves, func() { s.add(saga.Record{Kind: saga.Cancelled, Actor: "ann"}) })
	}
	require.NotEmpty(s.t, moves, "SAFE/LIVE: nothing can be done and the saga has not ended")
	moves[rapid.IntRange(0, len(moves)-1).Draw(s.t, "move")]()
}

func (s *simulation) atTheEnd(outcome saga.Outcome) {
	require.Empty(s.t, s.inflight, "SAFE-8: the saga ends while something runs")
	if outcome == saga.Completed {
		require.Empty(s.t, s.undone, "SAFE-9")
		require.False(s.t, s.turned)
		return
	}
	for name := range s.started {
		if (s.done[name] || s.unknown[name]) && s.hasUndo(name) {
			require.True(s.t, s.undone[name], "SAFE-6: %s may have happened and is not taken back", name)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	body, err := saga.EncodeRecord(nil, saga.Record{Kind: saga.Done, Node: "a", Payload: json.RawMessage(`{"x":1}`), At: time.UnixMicro(1)})
	require.NoError(f, err)
	f.Add(int64(1), byte(2), body)
	f.Add(int64(0), byte(200), []byte(`{`))
	f.Fuzz(func(t *testing.T, seq int64, kind byte, body []byte) {
		r, err := saga.DecodeRecord(seq, saga.RecordKind(kind), body)
		if err != nil {
			return
		}
		again, err := saga.EncodeRecord(nil, r)
		require.NoError(t, err)
		back, err := saga.DecodeRecord(seq, saga.RecordKind(kind), again)
		require.NoError(t, err)
		require.Equal(t, r.Node, back.Node)
		require.Equal(t, r.At, back.At)
	})
}
