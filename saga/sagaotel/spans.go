package sagaotel

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/saga"
)

func inject(ctx context.Context, headers map[string]string) {
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(headers))
}

func extract(ctx context.Context, headers map[string]string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(headers))
}

// follows reports whether spans are wanted below what ctx carries: a trace that is not sampled stays so without asking.
func follows(ctx context.Context) bool {
	c := trace.SpanContextFromContext(ctx)
	return c.IsSampled() || !c.IsValid()
}

func sagaID(id saga.ID) attribute.KeyValue { return attribute.String("saga.id", string(id)) }

func (t *Telemetry) starting(ctx context.Context, e saga.SagaEvent) (context.Context, func(error)) {
	if !follows(ctx) {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, "start "+e.Saga)
	if !span.IsRecording() {
		return ctx, nil
	}
	t.describe(span, labelKey{saga: e.Saga}, sagaID(e.ID), attribute.Int("saga.version", e.Version))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// attributes are lists to use again: a span copies what it is given, and at once, so that it makes room for all once.
var attributes = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// describe gives a span its attributes.
func (t *Telemetry) describe(span trace.Span, k labelKey, more ...attribute.KeyValue) {
	list, _ := attributes.Get().(*[]attribute.KeyValue)
	*list = append(append((*list)[:0], t.labels.get(k).span...), more...)
	span.SetAttributes(*list...)
	attributes.Put(list)
}

// attempt is the key under which an attempt's span is in its context, beside hooks of others that add spans of theirs.
type attempt struct{}

func (t *Telemetry) attempting(ctx context.Context, e saga.AttemptEvent) context.Context {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ctx
	}
	name := e.Step
	if e.Direction == saga.Undo {
		name = "undo " + name
	}
	ctx, span := t.tracer.Start(ctx, name)
	if !span.IsRecording() {
		return ctx
	}
	t.describe(span, stepKey(e), sagaID(e.ID), attribute.Int("saga.attempt", e.Attempt))
	return context.WithValue(ctx, attempt{}, span)
}

func (t *Telemetry) attempted(ctx context.Context, e saga.AttemptEvent) {
	if e.Outcome != "void" {
		t.inst.step.Record(ctx, e.Duration.Seconds(), t.labels.get(stepKey(e)).record...)
	}
	endAttempt(ctx, e)
}

func (t *Telemetry) hung(ctx context.Context, e saga.AttemptEvent) {
	t.inst.step.Record(ctx, e.Duration.Seconds(), t.labels.get(stepKey(e)).record...)
	t.count(ctx, t.inst.hung, labelKey{saga: e.Saga, step: e.Step}, 1)
	endAttempt(ctx, e)
}

// endAttempt ends the span of an attempt; one that was given up is ended then, its late return changes nothing.
func endAttempt(ctx context.Context, e saga.AttemptEvent) {
	span, ok := ctx.Value(attempt{}).(trace.Span)
	if !ok || !span.IsRecording() {
		return
	}
	if e.Outcome != "done" { // most are, and a span grows with every attribute
		span.SetAttributes(attribute.String("saga.outcome", e.Outcome))
	}
	if e.Err != nil {
		if e.Outcome == "rejected" {
			span.SetAttributes(attribute.String("saga.reason", e.Err.Error()))
		} else {
			span.SetStatus(codes.Error, e.Err.Error())
		}
	}
	span.End()
}

// past makes a span for something that is over; only in a trace that is sampled, since there is no saga without a start.
func (t *Telemetry) past(ctx context.Context, name string, k labelKey, id saga.ID, began time.Time, took time.Duration, more ...attribute.KeyValue) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began))
	if len(more) == 0 {
		t.describe(span, k, sagaID(id))
	} else {
		t.describe(span, k, sagaID(id), more[0])
	}
	span.End(trace.WithTimestamp(began.Add(took)))
}

func (t *Telemetry) waited(ctx context.Context, e saga.WaitEvent) {
	k := labelKey{saga: e.Saga, step: e.Step, kind: e.Kind, outcome: e.Outcome}
	t.inst.wait.Record(ctx, e.Duration.Seconds(), t.labels.get(k).record...)
	name := e.Kind + " " + e.Step
	if e.Kind == "remote" {
		name = "reply " + e.Step
	}
	t.past(ctx, name, k, e.ID, e.Began, e.Duration)
}

func (t *Telemetry) turnedBack(ctx context.Context, e saga.SagaEvent) {
	t.count(ctx, t.inst.compensations, labelKey{saga: e.Saga}, 1)
	t.past(ctx, "compensate "+e.Saga, labelKey{saga: e.Saga, step: e.Step}, e.ID, time.Now(), 0, attribute.String("saga.reason", e.Reason))
}

func (t *Telemetry) finished(ctx context.Context, e saga.SagaEvent) {
	k := labelKey{saga: e.Saga, outcome: string(e.Outcome)}
	l := t.labels.get(k)
	t.inst.finished.Add(ctx, 1, l.add...)
	t.inst.duration.Record(ctx, e.Duration.Seconds(), l.record...)
	t.past(ctx, e.Saga, k, e.ID, time.Now().Add(-e.Duration), e.Duration, attribute.Int("saga.version", e.Version))
}
