package saga

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Signal is a typed message from outside into a waiting saga: an approval, a callback. Declare it once, beside the
// definition; it has no state of its own.
type Signal[D any] struct {
	name      string
	sensitive bool
}

// NewSignal names a signal whose payload is a D, encoded as JSON.
func NewSignal[D any](name string) *Signal[D] { return &Signal[D]{name: name} }

// Name is the signal's name.
func (s *Signal[D]) Name() string { return s.name }

// AwaitBuilder is an await that still lacks its deadline; [AwaitBuilder.Within] makes it a node.
type AwaitBuilder[S any] struct{ n AwaitNode[S] }

// AwaitNode waits for a signal; see [Await].
type AwaitNode[S any] struct {
	name, signal string
	sensitive    bool
	payload      reflect.Type
	deliver      func(S, []byte) (S, error)
	within       time.Duration
	weight       int
	onDeadline   []Node[S]
}

// Await waits for a signal and folds its payload into the state. A fold that returns [Reject] is a business refusal: the
// saga compensates. A signal that arrives before its Await is kept, one after its deadline is refused: see
// [Signal.Send]. The node bears the signal's name; see
// [AwaitBuilder.Named].
func Await[S, D any](sig *Signal[D], fold func(*S, D) error) *AwaitBuilder[S] {
	n := AwaitNode[S]{payload: reflect.TypeFor[D]()}
	if sig != nil {
		n.name, n.signal, n.sensitive = sig.name, sig.name, sig.sensitive
	}
	if fold != nil {
		n.deliver = func(s S, raw []byte) (S, error) {
			var d D
			if err := json.Unmarshal(raw, &d); err != nil {
				return s, fmt.Errorf("signal payload is no %T: %w", d, err)
			}
			err := fold(&s, d)
			return s, err
		}
	}
	return &AwaitBuilder[S]{n}
}

// Named gives the node a name of its own, for definitions that await one signal twice.
func (a *AwaitBuilder[S]) Named(name string) *AwaitBuilder[S] { a.n.name = name; return a }

// Within sets the deadline, counted from when the saga arrives here. Passing it counts as a rejection.
func (a *AwaitBuilder[S]) Within(d time.Duration) *AwaitNode[S] {
	n := a.n
	n.within = d
	return &n
}

// OnDeadline runs these nodes when the deadline passes, instead of rejecting.
func (n *AwaitNode[S]) OnDeadline(nodes ...Node[S]) *AwaitNode[S] { n.onDeadline = nodes; return n }

// Weight is the wait's share of [Status.Progress] beside its neighbours. Default 1.
func (n *AwaitNode[S]) Weight(w int) *AwaitNode[S] { n.weight = w; return n }

func (n *AwaitNode[S]) compile(b *builder, _ func(S)) *node {
	out := b.add(&node{
		kind: kindAwait, name: n.name, weight: n.weight, signal: n.signal, payload: n.payload, within: n.within, sensitive: n.sensitive,
	})
	switch {
	case n.signal == "":
		b.problem(out.name, "awaits a signal without a name")
	case n.within <= 0:
		b.problem(out.name, "has a deadline that is not positive")
	}
	if n.deliver == nil {
		b.problem(out.name, "has no fold function")
	} else {
		out.deliver = func(state any, raw []byte) (any, error) { return n.deliver(state.(S), raw) }
	}
	out.children = compileAll(b, out, n.onDeadline)
	return out
}

type sleepNode[S any] struct {
	name string
	d    func(S) time.Duration
}

// Sleep waits for a time computed from the state when the saga arrives here. The waiting saga is a row, not a goroutine.
// A duration of zero or less does not wait.
func Sleep[S any](name string, d func(S) time.Duration) Node[S] { return &sleepNode[S]{name, d} }

func (n *sleepNode[S]) compile(b *builder, _ func(S)) *node {
	out := b.add(&node{kind: kindSleep, name: n.name})
	if n.d == nil {
		b.problem(out.name, "has no function")
		return out
	}
	out.sleep = func(state any) time.Duration { return n.d(state.(S)) }
	return out
}
