package sagakafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// CallerConfig of a [Caller].
type CallerConfig struct {
	// ReplyTopic is where this service awaits the replies to its commands. Required.
	ReplyTopic string
	// Write writes a command in the transaction that records its dispatch: the Write of an outbox in the saga's own database.
	// Required.
	Write Write
}

// Caller sends the commands of a service's sagas and takes in their replies. It is safe for concurrent use.
type Caller struct{ cfg CallerConfig }

// NewCaller checks cfg. The error joins everything that is wrong.
func NewCaller(cfg CallerConfig) (*Caller, error) {
	var errs []error
	if cfg.ReplyTopic == "" {
		errs = append(errs, errors.New("ReplyTopic is empty: name the topic that awaits replies"))
	}
	if cfg.Write == nil {
		errs = append(errs, errors.New("Write is nil: pass an outbox's Write"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("sagakafka: invalid CallerConfig: %w", err)
	}
	return &Caller{cfg: cfg}, nil
}

// Target is a command of another service; see [Caller.To].
type Target struct {
	caller         *Caller
	topic, command string
}

// To names a command of another service: the topic it listens to, and the name under which it registered the command with
// [On], such as "payment.authorise.v1".
func (c *Caller) To(topic, command string) Target { return Target{c, topic, command} }

// Call declares a step that another service carries out. command makes the payload from the saga's state, into folds the reply into
// it; a step without a result has into take a [saga.None]. The compensation is the same command, sent in the other direction: what
// the participant registered for it decides what happens. Its payload is made from the state at that time. Retry, UndoRetry and Timeout
// of the returned node say how long to wait for a reply and how often to send.
func Call[S, C, R any](name string, to Target, command func(S) C, into func(*S, R)) *saga.RemoteNode[S, R] {
	n := saga.Remote(name, saga.RemoteSpec[S, R]{
		Send:     sender(to, command),
		SendUndo: func(c saga.Ctx, tx data.Tx, s S, _ R) error { return to.send(c, tx, command(s)) },
	})
	if into != nil {
		n.Into(into)
	}
	return n
}

// CallForward declares a step like [Call] that is sent until it succeeds and is never compensated, so that it may stand after a pivot.
func CallForward[S, C, R any](name string, to Target, command func(S) C, into func(*S, R)) *saga.RemoteNode[S, R] {
	n := saga.Remote(name, saga.RemoteSpec[S, R]{Send: sender(to, command)}).Retriable()
	if into != nil {
		n.Into(into)
	}
	return n
}

// sender is nil when something is missing, so that the definition reports the step.
func sender[S, C any](to Target, command func(S) C) func(saga.Ctx, data.Tx, S) error {
	if to.caller == nil || to.topic == "" || to.command == "" || command == nil {
		return nil
	}
	return func(c saga.Ctx, tx data.Tx, s S) error { return to.send(c, tx, command(s)) }
}

// send writes one command. Its event id tells attempts apart, since an outbox takes each id once; what identifies the command to the
// participant is the key. Its Kafka key is the saga's id, so a command and its compensation arrive in order.
func (t Target) send(c saga.Ctx, tx data.Tx, payload any) error {
	a := address{
		saga: c.Saga(), sagaID: string(c.SagaID()), step: c.Step(), key: c.Key(), direction: c.Direction(), attempt: c.Attempt(),
	}
	raw, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("sagakafka: command %q of type %T does not encode as JSON: %w", t.command, payload, err)
	}
	headers := a.headers()
	headers[ReplyToHeader] = t.caller.cfg.ReplyTopic
	return t.caller.cfg.Write(c, tx, data.Event{
		ID: a.key + "#" + strconv.Itoa(a.attempt), Topic: t.topic, Key: a.sagaID, Type: t.command, Subject: a.step,
		Data: json.RawMessage(raw), Headers: headers,
	})
}

// Replier takes replies in; a [saga.Engine] is one.
type Replier interface {
	// Reply is durable when it returns nil, and idempotent.
	Reply(ctx context.Context, q data.Querier, r saga.Reply) error
}

// Replies returns the handler for the caller's reply topic. Events of another type are none of its business and count as handled;
// a malformed reply is a [*MessageError]. Any other error is the store's: deliver the reply again.
func (c *Caller) Replies(to Replier) func(ctx context.Context, ev data.Event) error {
	return func(ctx context.Context, ev data.Event) error {
		if ev.Type != ReplyType {
			return nil
		}
		a, err := parseAddress(ev)
		if err != nil {
			return err
		}
		r := saga.Reply{Key: a.key}
		switch outcome := ev.Headers[OutcomeHeader]; outcome {
		case outcomeDone:
			if r.Result, err = payloadOf(ev); err != nil || len(r.Result) > 0 && !json.Valid(r.Result) {
				return &MessageError{Type: ev.Type, ID: ev.ID, Reason: "the result is not JSON"}
			}
		case outcomeRejected:
			r.Rejected, r.Reason = true, ev.Headers[ReasonHeader]
		default:
			return &MessageError{Type: ev.Type, ID: ev.ID, Reason: fmt.Sprintf("header %s is %.32q", OutcomeHeader, outcome)}
		}
		return to.Reply(ctx, nil, r)
	}
}

// replyEvent answers a command.
func replyEvent(a address, replyTo string, outcome, reason string, result json.RawMessage) data.Event {
	headers := maps.Clone(a.headers())
	headers[OutcomeHeader] = outcome
	if reason != "" {
		headers[ReasonHeader] = reason
	}
	return data.Event{Topic: replyTo, Key: a.sagaID, Type: ReplyType, Subject: a.step, Data: result, Headers: headers}
}
