package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/correlation"
)

// Handler does what a record asks for. nil and [ErrDuplicate] mean handled; [Permanent] and [Transient] say whether to repeat; any
// other error is retried until the attempts are used up. The context carries the correlation and causation ids, ends
// after [ConsumerConfig.HandlerTimeout], and ends earlier when the partition has to be given up. Returning nil promises that the
// effect is durable: the offset may be committed at once.
type Handler func(ctx context.Context, ev Received) error

// Handle makes a [Handler] of a function that takes the payload as a T, decoded from JSON. Unknown members are ignored, so that
// producers may add some. A payload that is no T, and a tombstone, go to the dead-letter topic at once.
func Handle[T any](fn func(ctx context.Context, v T, ev Received) error) Handler {
	return func(ctx context.Context, ev Received) error {
		var v T
		if err := json.Unmarshal(ev.Value, &v); err != nil {
			return Permanent(fmt.Errorf("kafka: payload of %s %q is no %T: %w", ev.Type, ev.ID, v, err))
		}
		return fn(ctx, v, ev)
	}
}

// Events makes a [Handler] of a function that knows nothing of Kafka. The event's Data is the payload as []byte.
func Events(fn func(ctx context.Context, ev data.Event) error) Handler {
	return func(ctx context.Context, ev Received) error { return fn(ctx, ev.Event) }
}

// ByType routes records by their CloudEvents type. A type without a handler is handled by doing nothing, since a topic may carry
// more than one consumer wants.
func ByType(handlers map[string]Handler) Handler {
	return func(ctx context.Context, ev Received) error {
		if h := handlers[ev.Type]; h != nil {
			return h(ctx, ev)
		}
		return nil
	}
}

// contextFor puts what the record carries into the handler's context. An id from outside that could harm a log is replaced, so that
// the handler's logs and messages always have one.
func contextFor(ctx context.Context, ev Received, extract func(context.Context, map[string]string) context.Context) context.Context {
	ids := correlation.IDs{Correlation: ev.Headers[correlation.Header], Causation: ev.ID}
	if !correlation.Valid(ids.Causation) {
		ids.Causation = ""
	}
	if !correlation.Valid(ids.Correlation) {
		ids.Correlation = ids.Causation
	}
	if ids.Correlation == "" {
		ids.Correlation = correlation.New()
	}
	ctx = correlation.With(ctx, ids)
	if extract != nil {
		ctx = extract(ctx, ev.Headers)
	}
	return ctx
}

// call runs the handler once and turns a panic into an error, so that one record cannot end the process.
func call(ctx context.Context, h Handler, ev Received) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return h(ctx, ev)
}
