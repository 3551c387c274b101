package order

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/saga"
)

// counted are hooks for the business: petstore_orders_total{outcome}. What concerns every saga, sagaotel measures. Sagas of this
// process only: the sum over processes is the shop's.
func counted(meter metric.Meter) (saga.Hooks, error) {
	orders, err := meter.Int64Counter("petstore.orders", metric.WithUnit("{order}"), metric.WithDescription("Orders that ended, by outcome."))
	return saga.Hooks{Finished: func(ctx context.Context, e saga.SagaEvent) {
		orders.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", orderOutcome(e.Outcome))))
	}}, err
}

// orderOutcome is what a saga's end means to the customer.
func orderOutcome(o saga.Outcome) string {
	if o == saga.Completed {
		return "approved"
	}
	return "cancelled"
}
