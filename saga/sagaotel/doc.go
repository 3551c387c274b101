// Package sagaotel shows sagas in OpenTelemetry: a trace per saga, over processes and waits, and metrics of every definition
// and step.
//
//	tel, err := sagaotel.New(sagaotel.Config{TracerProvider: traces, MeterProvider: meters})
//	engine, err := saga.New(tel.Instrument(saga.Config{}), store, placeOrder)
//	stop, err := tel.Observe(engine) // what is in flight, as gauges
//
// # Traces
//
// Starting a saga makes a span "start place-order" where it is started, a child of the caller's. Its W3C traceparent goes into
// the journal, so that whatever happens later is its child in whichever process: every attempt of a step ("reserve-stock") and
// of its compensation ("undo reserve-stock"), every wait that is over ("await approval", "sleep …", "reply …"), the moment in which
// the saga turns back ("compensate place-order"), and at the end one span over all of it ("place-order"). The span of an attempt
// is in the step's context: calls that the step makes are its children; an outcome other than done is an attribute. A saga whose
// start was not sampled has no spans, and its steps cost no more than a look at the context.
//
// # Metrics
//
// Names are as Prometheus shows them. No label holds an id.
//
//	mmf_saga_started_total{saga}  mmf_saga_finished_total{saga,outcome}  mmf_saga_duration_seconds{saga,outcome}
//	mmf_saga_step_duration_seconds{saga,step,direction,outcome}   direction: forward, compensate
//	mmf_saga_wait_duration_seconds{saga,step,kind,outcome}
//	mmf_saga_inflight{saga,status}   status: running, compensating, waiting, parked
//	mmf_saga_oldest_age_seconds{saga}   of those that run or compensate
//	mmf_saga_compensations_total{saga}  mmf_saga_unknown_total{saga,step}  mmf_saga_parked_total{saga,step}
//	mmf_saga_hung_total{saga,step}  mmf_saga_refused_signals_total{saga}  mmf_saga_violations_total{saga,promise}
//	mmf_saga_recovered_total{saga}  mmf_saga_fenced_total{saga}  mmf_saga_errors_total
//	mmf_saga_flush_duration_seconds{outcome}  mmf_saga_flush_records  mmf_saga_flush_size_bytes  mmf_saga_writer_queue
//
// Every process tells of its own sagas: sums over processes are the cluster's.
package sagaotel
