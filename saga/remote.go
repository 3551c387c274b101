package saga

import (
	"errors"
	"time"

	"github.com/marty-framework/mmf/data"
)

// RemoteSpec is the seam on which steps carried out elsewhere are built. Sending happens in the transaction that records
// the dispatch; the outcome arrives later through [Engine.Reply] under the key of the [Ctx] that sent it. After Timeout
// without a reply the same command is sent again under the same key, within the retry budget; then the outcome is
// unknown and the step is compensated.
type RemoteSpec[S, R any] struct {
	// Send writes the command, normally to an outbox. Required.
	Send func(Ctx, data.Tx, S) error
	// SendUndo writes the compensating command. Nil: the step needs none.
	SendUndo func(Ctx, data.Tx, S, R) error
}

// RemoteNode is a step carried out by somebody else; see [Remote].
type RemoteNode[S, R any] struct{ a action[S, R] }

// Remote declares a step whose work is done by another process that answers with a message.
func Remote[S, R any](name string, spec RemoteSpec[S, R]) *RemoteNode[S, R] {
	n := &RemoteNode[S, R]{newAction[S, R](kindRemote, compensatable, name, nil)}
	if spec.Send == nil {
		n.a.problems = append(n.a.problems, "has no Send function")
		spec.Send = func(Ctx, data.Tx, S) error { return errors.New("saga: no Send function") }
	}
	n.a.do = func(c Ctx, tx data.Tx, s S) (R, error) {
		var zero R
		return zero, spec.Send(c, tx, s)
	}
	n.a.undo = spec.SendUndo
	return n
}

// Into folds the reply into the state; see [StepNode.Into].
func (n *RemoteNode[S, R]) Into(into func(*S, R)) *RemoteNode[S, R] { n.a.into = into; return n }

// Retry sets how often and how fast the command is sent again. Default: see [Retry].
func (n *RemoteNode[S, R]) Retry(r Retry) *RemoteNode[S, R] { n.a.n.retry = r; return n }

// UndoRetry sets the same for the compensating command, after which the saga parks. Default: see [Retry].
func (n *RemoteNode[S, R]) UndoRetry(r Retry) *RemoteNode[S, R] { n.a.n.undoRetry = r; return n }

// Timeout is how long to wait for a reply to one sending. Default 30 s.
func (n *RemoteNode[S, R]) Timeout(d time.Duration) *RemoteNode[S, R] { n.a.n.timeout = d; return n }

// UndoTimeout is how long to wait for a reply to the compensating command. Default: the Timeout.
func (n *RemoteNode[S, R]) UndoTimeout(d time.Duration) *RemoteNode[S, R] {
	n.a.n.undoTimeout = d
	return n
}

// Weight is the step's share of [Status.Progress] beside its neighbours. Default 1.
func (n *RemoteNode[S, R]) Weight(w int) *RemoteNode[S, R] { n.a.n.weight = w; return n }

// Retriable marks the step as one that only goes forward, so that it may stand after a pivot.
func (n *RemoteNode[S, R]) Retriable() *RemoteNode[S, R] { n.a.n.class = retriable; return n }

func (n *RemoteNode[S, R]) compile(b *builder, _ func(S)) *node { return n.a.compileAction(b) }

// Publish declares an event that is written in the transaction that records the step, through [Config.Publish] (normally
// an outbox): it is published if and only if the saga went past this node. Its ID is the step's key, so a repetition is
// recognised. It may stand anywhere and has no compensation; publish another event from a later step to correct it.
func Publish[S any](name string, event func(S) data.Event) Node[S] {
	return &publishNode[S]{name, event}
}

type publishNode[S any] struct {
	name  string
	event func(S) data.Event
}

func (n *publishNode[S]) compile(b *builder, _ func(S)) *node {
	out := b.add(&node{kind: kindTx, class: free, name: n.name, publishes: true, decode: decodeResult[None]})
	if n.event == nil {
		b.problem(out.name, "has no event function")
		return out
	}
	out.do = func(c Ctx, tx data.Tx, state any) (any, error) {
		ev := n.event(state.(S))
		if ev.ID == "" {
			ev.ID = c.Key()
		}
		return None{}, c.a.publish(c, tx, ev)
	}
	return out
}
