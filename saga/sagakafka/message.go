package sagakafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// ReplyType is the CloudEvents type of replies. A command's type is its own name.
const ReplyType = "mmf.saga.reply.v1"

// Headers of commands and replies.
const (
	SagaHeader      = "saga-name"
	SagaIDHeader    = "saga-id"
	StepHeader      = "saga-step"
	DirectionHeader = "saga-direction" // do or undo
	KeyHeader       = "saga-key"       // the command's identity: the same whenever it is sent again
	AttemptHeader   = "saga-attempt"   // of a command, from 1
	ReplyToHeader   = "saga-reply-to"  // of a command: the topic that awaits the reply
	OutcomeHeader   = "saga-outcome"   // of a reply: done or rejected
	ReasonHeader    = "saga-reason"    // of a rejection
)

const (
	outcomeDone     = "done"
	outcomeRejected = "rejected"
	// maxReason bounds what a refusal may say.
	maxReason = 2000
)

// Write adds events to the transaction; an outbox's Write is one.
type Write func(ctx context.Context, tx data.Tx, events ...data.Event) error

// MessageError says that an event is no command or reply that this side understands. No repetition changes that, so a
// consumer puts it into the dead-letter topic at once.
type MessageError struct {
	Type, ID string
	Reason   string
}

// Error tells which event it was and what is wrong with it.
func (e *MessageError) Error() string {
	return fmt.Sprintf("sagakafka: event %q of type %q: %s", e.ID, e.Type, e.Reason)
}

// Permanent is true: see [MessageError].
func (e *MessageError) Permanent() bool { return true }

// address is what commands and replies have in common.
type address struct {
	saga, sagaID, step, key string
	direction               saga.Direction
	attempt                 int
}

func (a address) headers() map[string]string {
	return map[string]string{
		SagaHeader: a.saga, SagaIDHeader: a.sagaID, StepHeader: a.step, KeyHeader: a.key, DirectionHeader: string(a.direction),
		AttemptHeader: strconv.Itoa(a.attempt),
	}
}

// stepKey is the key without its direction: what a step and its compensation share.
func (a address) stepKey() string { return strings.TrimSuffix(a.key, "/"+string(a.direction)) }

func parseAddress(ev data.Event) (address, error) {
	refuse := func(format string, args ...any) (address, error) {
		return address{}, &MessageError{Type: ev.Type, ID: ev.ID, Reason: fmt.Sprintf(format, args...)}
	}
	a := address{
		saga: ev.Headers[SagaHeader], sagaID: ev.Headers[SagaIDHeader], step: ev.Headers[StepHeader], key: ev.Headers[KeyHeader],
		direction: saga.Direction(ev.Headers[DirectionHeader]),
	}
	if a.direction != saga.Do && a.direction != saga.Undo {
		return refuse("header %s is %.32q: it must be %q or %q", DirectionHeader, a.direction, saga.Do, saga.Undo)
	}
	for name, v := range map[string]string{SagaHeader: a.saga, SagaIDHeader: a.sagaID, StepHeader: a.step, KeyHeader: a.key} {
		if v == "" || len(v) > data.MaxAttribute || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
			return refuse("header %s is %.100q: it must be 1 to %d bytes of text", name, v, data.MaxAttribute)
		}
	}
	if !strings.HasSuffix(a.key, "/"+string(a.direction)) {
		return refuse("header %s is %.100q: it does not end with the direction %q", KeyHeader, a.key, a.direction)
	}
	if n := ev.Headers[AttemptHeader]; n != "" {
		var err error
		if a.attempt, err = strconv.Atoi(n); err != nil || a.attempt < 1 {
			return refuse("header %s is %.32q: it must be a number from 1", AttemptHeader, n)
		}
	}
	return a, nil
}

// payloadOf gives a received event's payload.
func payloadOf(ev data.Event) (json.RawMessage, error) {
	body, _, err := ev.Payload()
	return body, err
}
