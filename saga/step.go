package saga

import (
	"encoding/json"
	"time"

	"github.com/marty-framework/mmf/data"
)

// None is the result of a step that has none.
type None struct{}

// Node is one node of a definition over the state S. Its implementations are this package's constructors; other packages
// build on [Remote].
type Node[S any] interface {
	// compile adds the node to the definition being built. Mentioning S here is what lets Define infer it.
	compile(b *builder, _ func(S)) *node
}

// action is what the step builders share: a unit of work with a result of type R.
type action[S, R any] struct {
	n        node
	do       func(Ctx, data.Tx, S) (R, error)
	undo     func(Ctx, data.Tx, S, R) error
	into     func(*S, R)
	problems []string
}

func newAction[S, R any](kind nodeKind, class class, name string, do func(Ctx, data.Tx, S) (R, error)) action[S, R] {
	return action[S, R]{n: node{kind: kind, class: class, name: name}, do: do}
}

func (a *action[S, R]) compileAction(b *builder) *node {
	n := a.n // a copy: one builder value may stand in several definitions
	if a.do == nil {
		b.problem(b.path(n.name), "has no function")
	}
	for _, p := range a.problems {
		b.problem(b.path(n.name), p)
	}
	n.do = func(c Ctx, tx data.Tx, state any) (any, error) { return a.do(c, tx, state.(S)) }
	if a.undo != nil {
		n.undo = func(c Ctx, tx data.Tx, state, result any) error {
			r, _ := result.(R) // zero when the result is unknown
			return a.undo(c, tx, state.(S), r)
		}
	}
	n.decode = func(raw []byte) (any, error) {
		r, err := decodeResult[R](raw)
		return r, n.guard(err)
	}
	var r R
	_, none := any(r).(None)
	n.hasResult = !none
	if a.into != nil {
		n.fold = func(state, result any) any {
			s := state.(S)
			r, _ := result.(R)
			a.into(&s, r)
			return s
		}
	}
	return b.add(&n)
}

func decodeResult[R any](raw []byte) (any, error) {
	var r R
	if _, none := any(r).(None); none || len(raw) == 0 {
		return r, nil
	}
	err := json.Unmarshal(raw, &r)
	return r, err
}

// StepNode is a compensatable step; see [Step] and [TxStep].
type StepNode[S, R any] struct{ a action[S, R] }

// Step declares a step that calls the outside world. Its function may run more than once: with the same [Ctx.Key] after
// a crash or a retry, so that the callee can recognise the repetition. It ends done (nil error), rejected (an error made
// by [Reject]: no effect happened) or, after its retry budget, unknown, which is compensated like a done one.
func Step[S, R any](name string, do func(Ctx, S) (R, error)) *StepNode[S, R] {
	return &StepNode[S, R]{newAction(kindStep, compensatable, name, plain(do))}
}

// TxStep declares a step whose effect is in the saga's own database: its function and the step's record commit in one
// transaction, so the effect happens exactly once. The function must not wait for the network: on SQLite it holds the only
// writer. An error rolls back, so a TxStep is never unknown. [TxPivot] and [TxRetriable] are its kin without a compensation.
func TxStep[S, R any](name string, do func(Ctx, data.Tx, S) (R, error)) *TxStepNode[S, R] {
	return &TxStepNode[S, R]{newAction(kindTx, compensatable, name, do)}
}

func plain[S, R any](do func(Ctx, S) (R, error)) func(Ctx, data.Tx, S) (R, error) {
	if do == nil {
		return nil
	}
	return func(c Ctx, _ data.Tx, s S) (R, error) { return do(c, s) }
}

// Undo sets the compensation. It must be idempotent and safe when the step never happened: it also runs for a step with
// an unknown outcome, then with a zero R and [Ctx.ResultKnown] false.
func (n *StepNode[S, R]) Undo(undo func(Ctx, S, R) error) *StepNode[S, R] {
	if undo == nil {
		n.a.problems = append(n.a.problems, "has a nil Undo")
		return n
	}
	n.a.undo = func(c Ctx, _ data.Tx, s S, r R) error { return undo(c, s, r) }
	return n
}

// Into folds the result into the state. It must only depend on its arguments: it runs again whenever the state is rebuilt.
func (n *StepNode[S, R]) Into(into func(*S, R)) *StepNode[S, R] { n.a.into = into; return n }

// Retry sets the budget of the forward direction. Default: see [Retry].
func (n *StepNode[S, R]) Retry(r Retry) *StepNode[S, R] { n.a.n.retry = r; return n }

// UndoRetry sets the budget of the compensation, after which the saga parks. Default: see [Retry].
func (n *StepNode[S, R]) UndoRetry(r Retry) *StepNode[S, R] { n.a.n.undoRetry = r; return n }

// Timeout bounds one attempt, in either direction. Default 30 s.
func (n *StepNode[S, R]) Timeout(d time.Duration) *StepNode[S, R] { n.a.n.timeout = d; return n }

// UndoTimeout bounds one attempt of the compensation, where that takes another time. Default: the Timeout.
func (n *StepNode[S, R]) UndoTimeout(d time.Duration) *StepNode[S, R] {
	n.a.n.undoTimeout = d
	return n
}

// Weight is the step's share of [Status.Progress] beside its neighbours. Default 1.
func (n *StepNode[S, R]) Weight(w int) *StepNode[S, R] { n.a.n.weight = w; return n }

func (n *StepNode[S, R]) compile(b *builder, _ func(S)) *node { return n.a.compileAction(b) }

// TxStepNode is a step in the saga's own database; see [TxStep].
type TxStepNode[S, R any] struct{ a action[S, R] }

// Undo sets the compensation, which commits together with its own record.
func (n *TxStepNode[S, R]) Undo(undo func(Ctx, data.Tx, S, R) error) *TxStepNode[S, R] {
	if undo == nil {
		n.a.problems = append(n.a.problems, "has a nil Undo")
	}
	n.a.undo = undo
	return n
}

// Into folds the result into the state; see [StepNode.Into].
func (n *TxStepNode[S, R]) Into(into func(*S, R)) *TxStepNode[S, R] { n.a.into = into; return n }

// Retry sets the budget of the forward direction. Default: see [Retry].
func (n *TxStepNode[S, R]) Retry(r Retry) *TxStepNode[S, R] { n.a.n.retry = r; return n }

// UndoRetry sets the budget of the compensation, after which the saga parks. Default: see [Retry].
func (n *TxStepNode[S, R]) UndoRetry(r Retry) *TxStepNode[S, R] { n.a.n.undoRetry = r; return n }

// Timeout bounds one attempt, in either direction, its commit included. Default 2 s.
func (n *TxStepNode[S, R]) Timeout(d time.Duration) *TxStepNode[S, R] { n.a.n.timeout = d; return n }

// UndoTimeout bounds one attempt of the compensation, where that takes another time. Default: the Timeout.
func (n *TxStepNode[S, R]) UndoTimeout(d time.Duration) *TxStepNode[S, R] {
	n.a.n.undoTimeout = d
	return n
}

// Weight is the step's share of [Status.Progress] beside its neighbours. Default 1.
func (n *TxStepNode[S, R]) Weight(w int) *TxStepNode[S, R] { n.a.n.weight = w; return n }

func (n *TxStepNode[S, R]) compile(b *builder, _ func(S)) *node { return n.a.compileAction(b) }

// ForwardNode is a step without compensation; see [Pivot], [Retriable], [TxPivot] and [TxRetriable].
type ForwardNode[S, R any] struct{ a action[S, R] }

// Pivot declares the point of no return: once it is done the saga only goes forward. When it is rejected everything before
// it is compensated; an unknown outcome is retried under its key and then parks, because neither direction is safe.
func Pivot[S, R any](name string, do func(Ctx, S) (R, error)) *ForwardNode[S, R] {
	return &ForwardNode[S, R]{newAction(kindStep, pivot, name, plain(do))}
}

// Retriable declares a step that is retried until it succeeds and needs no compensation; after its budget the saga parks.
func Retriable[S, R any](name string, do func(Ctx, S) (R, error)) *ForwardNode[S, R] {
	return &ForwardNode[S, R]{newAction(kindStep, retriable, name, plain(do))}
}

// TxPivot declares a point of no return in the saga's own database: its function and the step's record commit in one
// transaction, as with [TxStep]. A commit either happened or did not, so unlike [Pivot] it is never unknown: when it is
// rejected, or fails until its budget is used up, everything before it is compensated.
func TxPivot[S, R any](name string, do func(Ctx, data.Tx, S) (R, error)) *ForwardNode[S, R] {
	return &ForwardNode[S, R]{newAction(kindTx, pivot, name, do)}
}

// TxRetriable declares a step in the saga's own database, as [TxStep], that only goes forward, so that it may stand behind a
// pivot. After its budget the saga parks.
func TxRetriable[S, R any](name string, do func(Ctx, data.Tx, S) (R, error)) *ForwardNode[S, R] {
	return &ForwardNode[S, R]{newAction(kindTx, retriable, name, do)}
}

// Into folds the result into the state; see [StepNode.Into].
func (n *ForwardNode[S, R]) Into(into func(*S, R)) *ForwardNode[S, R] { n.a.into = into; return n }

// Retry sets the budget, after which the saga parks. Default: see [Retry].
func (n *ForwardNode[S, R]) Retry(r Retry) *ForwardNode[S, R] { n.a.n.retry = r; return n }

// Timeout bounds one attempt. Default 30 s, 2 s for a transactional one.
func (n *ForwardNode[S, R]) Timeout(d time.Duration) *ForwardNode[S, R] { n.a.n.timeout = d; return n }

// Weight is the step's share of [Status.Progress] beside its neighbours. Default 1.
func (n *ForwardNode[S, R]) Weight(w int) *ForwardNode[S, R] { n.a.n.weight = w; return n }

func (n *ForwardNode[S, R]) compile(b *builder, _ func(S)) *node { return n.a.compileAction(b) }
