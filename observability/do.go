package observability

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Do runs fn inside a span named operation, records its duration in mmf_operation_duration_seconds{operation,outcome}
// and its error in the span, and returns fn's error as it is. Outcomes are ok, error, canceled (the context was
// cancelled: not a failure) and panic (which passes through). The operation must come from the program, never from
// input: it is a label. Attributes go to the span only. A nil t just runs fn.
func Do(ctx context.Context, t *Telemetry, operation string, fn func(context.Context) error, attrs ...attribute.KeyValue) error {
	_, err := Value(ctx, t, operation, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) }, attrs...)
	return err
}

// Value is [Do] for a function that returns something.
func Value[T any](
	ctx context.Context, t *Telemetry, operation string, fn func(context.Context) (T, error), attrs ...attribute.KeyValue,
) (T, error) {
	if t == nil {
		return fn(ctx)
	}
	ctx, span := t.tracer.Start(ctx, operation, trace.WithAttributes(attrs...))
	begun := time.Now()
	outcome := "panic"
	defer func() {
		if outcome == "panic" {
			span.SetStatus(codes.Error, "panic")
		}
		t.inst.operation.Record(ctx, time.Since(begun).Seconds(), metric.WithAttributes(
			attribute.String("operation", operation), attribute.String("outcome", outcome)))
		span.End()
	}()
	v, err := fn(ctx)
	switch {
	case err == nil:
		outcome = "ok"
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		outcome = "canceled"
		span.AddEvent("canceled")
	default:
		outcome = "error"
		spanError(span, err)
	}
	return v, err
}

// spanError records err with secrets masked: spans leave the process as log lines do.
func spanError(span trace.Span, err error) {
	text := oneLine(MaskText(err.Error()), 1024)
	span.RecordError(errors.New(text))
	span.SetStatus(codes.Error, text)
}
