package saga_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/saga"
)

// plan is a node of a random tree.
type plan struct {
	kind, name        string
	children          []*plan
	undoable, inOrder bool
	taken             bool // of a when
	items, limit      int  // of an each
}

// drawPlan draws a node over at most a few levels.
func drawPlan(t *rapid.T, depth int, n *int) *plan {
	p := &plan{kind: "step"}
	if depth < 3 {
		p.kind = rapid.SampledFrom([]string{"step", "step", "sequence", "parallel", "when", "each", "child"}).Draw(t, "kind")
	}
	*n++
	p.name = fmt.Sprintf("%s-%d", p.kind, *n)
	if p.kind == "step" {
		p.undoable = rapid.Bool().Draw(t, "undoable")
		return p
	}
	p.inOrder = (p.kind == "parallel" || p.kind == "each") && rapid.Bool().Draw(t, "undo in order")
	p.taken = p.kind == "when" && rapid.Bool().Draw(t, "taken")
	if p.kind == "each" {
		p.items, p.limit = rapid.IntRange(0, 4).Draw(t, "items"), rapid.IntRange(1, 3).Draw(t, "limit")
	}
	for range rapid.IntRange(1, 3).Draw(t, "children") {
		p.children = append(p.children, drawPlan(t, depth+1, n))
	}
	return p
}

func (p *plan) node() saga.Node[trip] {
	var nodes []saga.Node[trip]
	for _, c := range p.children {
		nodes = append(nodes, c.node())
	}
	switch p.kind {
	case "sequence":
		return saga.Sequence(p.name, nodes...)
	case "parallel":
		n := saga.Parallel(p.name, nodes...)
		if p.inOrder {
			n.UndoInOrder()
		}
		return n
	case "when":
		return saga.When(p.name, func(trip) bool { return p.taken }, nodes...)
	case "each":
		n := saga.Each(p.name, func(trip) []trip { return make([]trip, p.items) }, nodes...).Limit(p.limit).
			Into(func(t *trip, items []trip) { t.Stops = append(t.Stops, p.name) })
		if p.inOrder {
			n.UndoInOrder()
		}
		return n
	case "child":
		return saga.Child(p.name, saga.Define("of-"+p.name, 1, nodes...), func(t trip) trip { return t }).
			Into(func(t *trip, c trip) { *t = c })
	}
	n := saga.Step(p.name, func(saga.Ctx, trip) (string, error) { return "", nil }).
		Into(func(t *trip, r string) { t.Stops = append(t.Stops, r) })
	if p.undoable {
		n.Undo(func(saga.Ctx, trip, string) error { return nil })
	}
	return n
}

// leafOrder knows which steps of one run of a plan are ordered.
type leafOrder struct {
	before    map[string][]string // what must be done before a step; every step that may run is a key
	undoAfter map[string][]string // what must be undone before a step is, if it has to be undone
	undoable  map[string]bool
	taken     map[string]bool            // of whens
	opens     map[string]json.RawMessage // of eaches and children: what their record holds
	limits    map[string]int             // of eaches, by their paths
}

// expand adds what p comes to behind earlier steps, under the path of what it stands in, and returns its steps.
func (o *leafOrder) expand(p *plan, path string, earlier []string) (leaves []string) {
	name := path + p.name
	list := func(nodes []*plan, path string) (leaves []string) {
		for _, c := range nodes {
			leaves = append(leaves, o.expand(c, path, append(slices.Clone(earlier), leaves...))...)
		}
		return leaves
	}
	members := func(parts [][]string) (leaves []string) {
		for _, part := range parts {
			for _, leaf := range leaves {
				if p.inOrder {
					o.undoAfter[leaf] = append(o.undoAfter[leaf], part...)
				}
			}
			leaves = append(leaves, part...)
		}
		return leaves
	}
	switch p.kind {
	case "step":
		o.before[name], o.undoable[name] = slices.Clone(earlier), p.undoable
		for _, e := range earlier {
			o.undoAfter[e] = append(o.undoAfter[e], name)
		}
		return []string{name}
	case "parallel":
		var lanes [][]string
		for _, c := range p.children {
			lanes = append(lanes, o.expand(c, path, earlier))
		}
		return members(lanes)
	case "when":
		if o.taken[name] = p.taken; !p.taken {
			return nil
		}
	case "each":
		o.limits[name] = p.limit
		o.opens[name], _ = json.Marshal(make([]trip, p.items))
		var items [][]string
		for i := range p.items {
			items = append(items, list(p.children, fmt.Sprintf("%s[%d]/", name, i)))
		}
		return members(items)
	case "child":
		o.opens[name] = json.RawMessage(`{}`)
		path = name + "/"
	}
	return list(p.children, path)
}

// item is which item of an each a step belongs to, if it does.
func item(each, step string) (string, bool) {
	rest, in := strings.CutPrefix(step, each+"[")
	index, _, closed := strings.Cut(rest, "]/")
	return index, in && closed
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
	for each, limit := range s.order.limits {
		running := map[string]bool{}
		for name := range s.inflight {
			if index, in := item(each, name); in {
				running[index] = true
			}
		}
		require.LessOrEqual(s.t, len(running), limit, "%s has too many items under way", each)
	}
	if !c.Undo {
		require.False(s.t, s.turned, "SAFE-7: %s goes forward after the saga turned back", c.Node)
		before, expected := s.order.before[c.Node]
		require.True(s.t, expected, "%s is not on the path that was taken", c.Node)
		for _, a := range before {
			require.True(s.t, s.done[a], "SAFE-3: %s runs before %s is done", c.Node, a)
		}
		s.started[c.Node] = true
		return
	}
	require.True(s.t, s.done[c.Node] || s.unknown[c.Node], "SAFE-5: %s is undone and never happened", c.Node)
	require.False(s.t, s.undone[c.Node], "SAFE-1: %s is undone twice", c.Node)
	for _, b := range s.order.undoAfter[c.Node] {
		if (s.done[b] || s.unknown[b]) && s.order.undoable[b] {
			require.True(s.t, s.undone[b], "SAFE-4: %s is undone before %s", c.Node, b)
		}
	}
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
		order := &leafOrder{
			map[string][]string{}, map[string][]string{}, map[string]bool{}, map[string]bool{}, map[string]json.RawMessage{}, map[string]int{},
		}
		p := drawPlan(t, 0, new(int))
		order.expand(p, "", nil)
		def := saga.Define("random", 1, p.node())
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
			moves = append(moves, func() { s.add(saga.Record{Kind: saga.Branched, Node: c.Node, Taken: s.order.taken[c.Node]}) })
		case c.Op == saga.OpOpen:
			moves = append(moves, func() {
				s.add(saga.Record{Kind: saga.Opened, Node: c.Node, Payload: s.order.opens[c.Node]})
			})
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
		for name := range s.order.before {
			require.True(s.t, s.done[name], "%s was never done", name)
		}
		return
	}
	for name := range s.started {
		if (s.done[name] || s.unknown[name]) && s.order.undoable[name] {
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
