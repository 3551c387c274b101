package order

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/saga"
)

// measured lets hooks also count: mmf_saga_started_total{saga}, mmf_saga_finished_total{saga,outcome}, mmf_saga_duration_seconds, and
// for the business petstore_orders_total{outcome}. Sagas of this process only: the sum over processes is the shop's.
func measured(hooks saga.Hooks, meter metric.Meter) (saga.Hooks, error) {
	var errs [4]error
	var started, finished, orders metric.Int64Counter
	var duration metric.Float64Histogram
	started, errs[0] = meter.Int64Counter("mmf.saga.started", metric.WithUnit("{saga}"), metric.WithDescription("Sagas started, by saga."))
	finished, errs[1] = meter.Int64Counter("mmf.saga.finished", metric.WithUnit("{saga}"),
		metric.WithDescription("Sagas finished, by saga and outcome."))
	duration, errs[2] = meter.Float64Histogram("mmf.saga.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(observability.DurationBuckets()...),
		metric.WithDescription("Time from a saga's start to its end, by saga and outcome."))
	orders, errs[3] = meter.Int64Counter("petstore.orders", metric.WithUnit("{order}"), metric.WithDescription("Orders that ended, by outcome."))
	logStarted, logFinished := hooks.Started, hooks.Finished
	hooks.Started = func(ctx context.Context, e saga.SagaEvent) {
		started.Add(ctx, 1, metric.WithAttributes(attribute.String("saga", e.Saga)))
		if logStarted != nil {
			logStarted(ctx, e)
		}
	}
	hooks.Finished = func(ctx context.Context, e saga.SagaEvent) {
		labels := metric.WithAttributes(attribute.String("saga", e.Saga), attribute.String("outcome", string(e.Outcome)))
		finished.Add(ctx, 1, labels)
		duration.Record(ctx, e.Duration.Seconds(), labels)
		orders.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", orderOutcome(e.Outcome))))
		if logFinished != nil {
			logFinished(ctx, e)
		}
	}
	return hooks, errors.Join(errs[:]...)
}

// orderOutcome is what a saga's end means to the customer.
func orderOutcome(o saga.Outcome) string {
	if o == saga.Completed {
		return "approved"
	}
	return "cancelled"
}
