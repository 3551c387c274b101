package sagaotel

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/metric"

	"github.com/marty-framework/mmf/saga"
)

func (t *Telemetry) count(ctx context.Context, c metric.Int64Counter, k labelKey, n int) {
	c.Add(ctx, int64(n), t.labels.get(k).add...)
}

func (t *Telemetry) started(ctx context.Context, e saga.SagaEvent) {
	t.count(ctx, t.inst.started, labelKey{saga: e.Saga}, 1)
}

func (t *Telemetry) unknown(ctx context.Context, e saga.SagaEvent) {
	t.count(ctx, t.inst.unknown, labelKey{saga: e.Saga, step: e.Step}, 1)
}

func (t *Telemetry) parked(ctx context.Context, e saga.SagaEvent) {
	t.count(ctx, t.inst.parked, labelKey{saga: e.Saga, step: e.Step}, 1)
}

func (t *Telemetry) refused(ctx context.Context, e saga.SagaEvent) {
	t.count(ctx, t.inst.refused, labelKey{saga: e.Saga}, 1)
}

func (t *Telemetry) violated(ctx context.Context, e saga.SagaEvent) {
	promise, _, _ := strings.Cut(e.Reason, ":")
	t.count(ctx, t.inst.violations, labelKey{saga: e.Saga, promise: promise}, 1)
}

func (t *Telemetry) recovered(ctx context.Context, e saga.NodeEvent) {
	t.count(ctx, t.inst.recovered, labelKey{saga: e.Saga}, e.Sagas)
}

func (t *Telemetry) fenced(ctx context.Context, e saga.NodeEvent) {
	t.count(ctx, t.inst.fenced, labelKey{saga: e.Saga}, e.Lanes)
}

func (t *Telemetry) failed(ctx context.Context, _ error) { t.inst.errors.Add(ctx, 1) }

func (t *Telemetry) flushed(ctx context.Context, e saga.FlushEvent) {
	outcome := "done"
	if e.Err != nil {
		outcome = "failed"
	}
	t.inst.flush.Record(ctx, e.Duration.Seconds(), t.labels.get(labelKey{outcome: outcome}).record...)
	t.inst.records.Record(ctx, int64(e.Records))
	t.inst.size.Record(ctx, int64(e.Bytes))
	t.inst.queue.Record(ctx, int64(e.Waiting))
}

func stepKey(e saga.AttemptEvent) labelKey {
	k := labelKey{saga: e.Saga, step: e.Step, direction: "forward", outcome: e.Outcome}
	if e.Direction == saga.Undo {
		k.direction = "compensate"
	}
	return k
}
