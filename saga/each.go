package saga

import (
	"encoding/json"
	"fmt"
)

// EachNode does the same for every item of a slice; see [Each].
type EachNode[S, T any] struct {
	n     node
	items func(S) []T
	into  func(*S, []T)
	body  []Node[T]
}

const (
	eachLimit = 10
	eachMax   = 1000
)

// Each runs its nodes, one after the other, for every item that the state has when the saga arrives here. The items are
// recorded and never evaluated again. Each item is a state of its own: its steps see only it and fold their results into
// it. Items run side by side, at most [EachNode.Limit] at once; when one fails, the others are cancelled and what they did
// is compensated, side by side within the same limit.
//
// The nodes of an item are named by a path: the step "book" of the item with index 3 of the each "ship" is "ship[3]/book" in
// the journal, in [Ctx.Step] and [Ctx.Key], and to operators.
func Each[S, T any](name string, items func(S) []T, nodes ...Node[T]) *EachNode[S, T] {
	return &EachNode[S, T]{n: node{kind: kindEach, name: name, limit: eachLimit, max: eachMax}, items: items, body: nodes}
}

// Into folds the items back into the state, as their nodes left them and in the order they had, when all of them are done.
// It must only depend on its arguments: it runs again whenever the state is rebuilt.
func (e *EachNode[S, T]) Into(into func(*S, []T)) *EachNode[S, T] { e.into = into; return e }

// Limit is how many items are under way at once, forward and when they are taken back. One that waits counts. Default 10.
func (e *EachNode[S, T]) Limit(n int) *EachNode[S, T] { e.n.limit = n; return e }

// Max is how many items there may be. With more of them the saga parks before the first one begins, with a
// [*TooManyItemsError]. Default 1,000: every item is held in memory while the saga is, and is several records in its journal.
// Start sagas of their own for tens of thousands.
func (e *EachNode[S, T]) Max(n int) *EachNode[S, T] { e.n.max = n; return e }

// UndoInOrder takes the items back one after the other, the last one first, instead of side by side.
func (e *EachNode[S, T]) UndoInOrder() *EachNode[S, T] { e.n.undoInOrder = true; return e }

// Weight is the share of [Status.Progress] of all items together. Default: the sum of the weights of the nodes of one.
func (e *EachNode[S, T]) Weight(w int) *EachNode[S, T] { e.n.weight = w; return e }

func (e *EachNode[S, T]) compile(b *builder, _ func(S)) *node {
	n := e.n
	out := b.add(&n)
	if e.items == nil {
		b.problem(out.name, "has no function for its items")
	} else {
		out.open = func(state any) (any, error) {
			items := e.items(state.(S))
			if len(items) > n.max {
				return nil, &TooManyItemsError{Items: len(items), Max: n.max}
			}
			list := make([]any, len(items)) // a slice of bytes would not be a list in JSON
			for i, item := range items {
				list[i] = item
			}
			return list, nil
		}
	}
	if len(e.body) == 0 {
		b.problem(out.name, "is an empty group")
	}
	if n.limit < 1 {
		b.problem(out.name, "has a limit that is not positive")
	}
	if n.max < 1 {
		b.problem(out.name, "has a maximum that is not positive")
	}
	out.decode = decodeResult[T]
	if e.into != nil {
		out.join = func(state any, parts []any) any {
			s, items := state.(S), make([]T, 0, len(parts))
			for _, p := range parts {
				item, _ := p.(T) // nothing but nil is no T
				items = append(items, item)
			}
			e.into(&s, items)
			return s
		}
	}
	b.inside(out, func() { out.children = compileAll(b, out, e.body) })
	return out
}

// TooManyItemsError says that an [Each] got more items than its maximum. The saga parks; nothing of the each has happened.
type TooManyItemsError struct {
	Node       string
	Items, Max int
}

// Error says how many there were and what to do.
func (e *TooManyItemsError) Error() string {
	return fmt.Sprintf("saga: each %q got %d items, its maximum is %d; cancel the saga, or raise Max in a new version", e.Node, e.Items, e.Max)
}

// splitItems takes the record of an each apart.
func splitItems(payload []byte) (items []json.RawMessage, err error) {
	if len(payload) == 0 {
		return nil, nil
	}
	err = json.Unmarshal(payload, &items)
	return items, err
}
