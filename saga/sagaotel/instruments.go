package sagaotel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// Boundaries of the histograms, in seconds: of a step, of a whole saga, which may wait for days, and of a commit.
var (
	stepBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	sagaBuckets  = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 10800, 86400, 604800}
	flushBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 5}
	countBuckets = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
	sizeBuckets  = []float64{256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20}
)

type instruments struct {
	started, finished, compensations, unknown, parked, hung, refused, violations, recovered, fenced, errors metric.Int64Counter

	duration, step, wait, flush metric.Float64Histogram
	records, size               metric.Int64Histogram
	queue                       metric.Int64Gauge
	inflight                    metric.Int64ObservableGauge
	oldest                      metric.Float64ObservableGauge
}

func newInstruments(m metric.Meter) (instruments, error) {
	var errs []error
	counter := func(name, unit, what string) metric.Int64Counter {
		c, err := m.Int64Counter("mmf.saga."+name, metric.WithUnit(unit), metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, what string, bounds []float64) metric.Float64Histogram {
		h, err := m.Float64Histogram("mmf.saga."+name, metric.WithUnit("s"), metric.WithDescription(what),
			metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	count := func(name, unit, what string, bounds []float64) metric.Int64Histogram {
		h, err := m.Int64Histogram("mmf.saga."+name, metric.WithUnit(unit), metric.WithDescription(what),
			metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	i := instruments{
		started:       counter("started", "{saga}", "Sagas started."),
		finished:      counter("finished", "{saga}", "Sagas that reached a terminal outcome."),
		compensations: counter("compensations", "{saga}", "Sagas that began to compensate."),
		unknown:       counter("unknown", "{step}", "Steps whose outcome was given up as unknown."),
		parked:        counter("parked", "{saga}", "Sagas that came to need help."),
		hung:          counter("hung", "{attempt}", "Attempts that ignored their context and were given up."),
		refused:       counter("refused_signals", "{signal}", "Signals that came too late."),
		violations:    counter("violations", "{record}", "Records that contradict a promise: defects of the engine."),
		recovered:     counter("recovered", "{saga}", "Live sagas found in lanes that were taken over."),
		fenced:        counter("fenced", "{lane}", "Lanes that another process took from this one."),
		errors:        counter("errors", "{error}", "Errors that the engine survived."),
		duration:      seconds("duration", "Time from a saga's start to its end.", sagaBuckets),
		step:          seconds("step.duration", "Duration of the attempts of steps and of their compensations.", stepBuckets),
		wait:          seconds("wait.duration", "Time that sagas waited for a signal, for time or for a reply.", sagaBuckets),
		flush:         seconds("flush.duration", "Duration of the commits of the journal's writer.", flushBuckets),
		records:       count("flush.records", "{record}", "Records in one commit.", countBuckets),
		size:          count("flush.size", "By", "Size of one commit, roughly.", sizeBuckets),
	}
	var more [3]error
	i.queue, more[0] = m.Int64Gauge("mmf.saga.writer.queue", metric.WithUnit("{write}"),
		metric.WithDescription("Writes that waited for the next commit when the last one was done."))
	i.inflight, more[1] = m.Int64ObservableGauge("mmf.saga.inflight", metric.WithUnit("{saga}"),
		metric.WithDescription("Live sagas of this process, by what they do."))
	i.oldest, more[2] = m.Float64ObservableGauge("mmf.saga.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest saga of this process that runs or compensates; 0 when there is none."))
	return i, errors.Join(append(errs, more[:]...)...)
}
