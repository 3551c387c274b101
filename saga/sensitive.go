package saga

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Sensitive marks the definition's input: it is stored only as [Config.Codec] encodes it, and shown only by
// [Engine.Reveal]. It returns a definition of its own; use that one. Marking needs no new version: what is stored says itself how.
func (d *Def[S]) Sensitive() *Def[S] {
	c := *d
	c.sensitive, c.guarded = true, true
	decode := d.decodeState
	c.decodeState = func(raw []byte) (any, error) {
		state, err := decode(raw)
		return state, withhold(err)
	}
	return &c
}

// Sensitive marks the step's result: it is stored only as [Config.Codec] encodes it, and shown only by [Engine.Reveal]. The
// text of the step's errors, which may quote what it works with, is withheld from the journal, from hooks and from logs; that of
// a [Reject] is not, since it was written to be read.
func (n *StepNode[S, R]) Sensitive() *StepNode[S, R] { n.a.n.sensitive = true; return n }

// Sensitive marks the step's result; see [StepNode.Sensitive].
func (n *TxStepNode[S, R]) Sensitive() *TxStepNode[S, R] { n.a.n.sensitive = true; return n }

// Sensitive marks the step's result; see [StepNode.Sensitive].
func (n *ForwardNode[S, R]) Sensitive() *ForwardNode[S, R] { n.a.n.sensitive = true; return n }

// Sensitive marks the reply; see [StepNode.Sensitive]. Processes that take replies must register the definition, or the
// reply waits in the mailbox as it came. The command itself is for whoever sends it to protect.
func (n *RemoteNode[S, R]) Sensitive() *RemoteNode[S, R] { n.a.n.sensitive = true; return n }

// Sensitive marks the signal's payload, in the mailbox and in the journal: it is stored only as [Config.Codec] encodes it. It
// must be called where the signal is declared, before it is used.
func (s *Signal[D]) Sensitive() *Signal[D] { s.sensitive = true; return s }

// isSensitive reports whether the payload of a record is to be encoded. Where that is not known, it is.
func (s *shape) isSensitive(r *Record) bool {
	switch {
	case s == nil || !s.guarded:
		return false
	case r.Kind == Started:
		return s.sensitive
	case r.Kind == Signalled:
		for _, n := range s.nodes {
			if n.kind == kindAwait && n.signal == r.Name {
				return n.sensitive
			}
		}
		return true
	}
	switch n := s.byName[r.Node]; r.Kind {
	case Done, Late, Resolved:
		return n == nil || n.sensitive
	}
	return true
}

// withheldError hides the text of an error that may quote a sensitive payload. What it is can still be asked for.
type withheldError struct{ err error }

func (e *withheldError) Error() string {
	kind := e.err
	for next := errors.Unwrap(kind); next != nil; next = errors.Unwrap(kind) {
		kind = next
	}
	return fmt.Sprintf("an error of type %T; its text is withheld, because the step is sensitive", kind)
}

func (e *withheldError) Unwrap() error { return e.err }

// withhold hides the text of an error, unless it was made to be read.
func withhold(err error) error {
	if err == nil || errors.As(err, new(*RejectError)) || errors.As(err, new(*withheldError)) || errors.Is(err, ErrTooLarge) {
		return err
	}
	return &withheldError{err}
}

// guard withholds the texts of errors about a sensitive node.
func (n *node) guard(err error) error {
	if n.sensitive {
		return withhold(err)
	}
	return err
}

// inAnyItem is the item of an each in the name of a step: any of them is as sensitive as the other.
var inAnyItem = regexp.MustCompile(`\[\d+\]/`)

// sensitiveReply reports whether the reply under a key belongs to a sensitive step of a definition that is known here.
func (e *Engine) sensitiveReply(key string) bool {
	_, rest, _ := strings.Cut(key, "/")
	step := inAnyItem.ReplaceAllString(rest[:max(strings.LastIndexByte(rest, '/'), 0)], "[]/")
	for _, def := range e.defs {
		if n := def.byName[step]; n != nil && n.sensitive {
			return true
		}
	}
	return false
}

// panicked is what may be said of a panic of a definition's function that sees the whole state.
func (s *shape) panicked(p any) any {
	if s.guarded {
		return fmt.Sprintf("with a %T, which is withheld, because something in the state is sensitive", p)
	}
	return p
}
