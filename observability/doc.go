// Package observability gives a service its logs, traces, metrics and health as one value, [Telemetry], that owns
// everything it uses: no global logger, tracer, meter or registry is read or set, so two services can live in one
// process and a test can look at its own.
//
// The problem: a line of log, a span and a metric of the same request must find each other, must not carry secrets, and
// must not let a stranger create time series or forge lines. So every line written through [Telemetry.Log] carries the
// correlation, trace and principal ids of its context; secrets are masked in the log core, below every logger; the
// route label is the route's template, never a path; and attributes that a caller chooses (the Host header, the path)
// are dropped by a view before they become labels.
//
// The smallest complete use:
//
//	tel, err := observability.New(observability.Config{Service: "catalog"})
//	if err != nil { … }
//	defer tel.Shutdown(context.Background())
//
//	mux := http.NewServeMux()
//	mux.Handle("GET /pets/{id}", observability.Route("GET /pets/{id}", pets))
//	mux.Handle("GET /metrics", tel.MetricsHandler())
//	err = http.ListenAndServe("127.0.0.1:8081", tel.Middleware(mux))
//
// Inside a handler: tel.Log(ctx).Info("pet found"), and [Do] for a span, a duration and an error in one call.
//
// What it does not do: it links no OTLP exporter (gRPC doubles a binary; pass exporters in [Config.SpanExporters]), it
// stores no telemetry, and it does not carry W3C baggage. Package service uses it by itself; the other packages know
// nothing of it and tell what they do through their Hooks (saga.Hooks, outbox.Hooks, kafka.Hooks, resilience.Hooks and so
// on), which the application fills with what it wants to log and count: a saga engine without hooks writes no line.
//
// Failure semantics: telemetry never fails the work it watches. Spans that cannot be exported are dropped by the
// exporter's queue; a log line that cannot be written is lost; a panic passes through [Telemetry.Middleware] and [Do]
// recorded but not recovered.
package observability
