package observability

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/marty-framework/mmf/internal/correlation"
)

// MiddlewareOption varies one use of [Telemetry.Middleware].
type MiddlewareOption interface{ apply(*middlewareOptions) }

type middlewareOptions struct{ edge bool }

type edgeOption struct{}

func (edgeOption) apply(o *middlewareOptions) { o.edge = true }

// Edge is for servers that strangers call: their traceparent becomes a link of a new trace, so that nobody outside
// decides which traces are recorded or puts spans into a trace of this system.
func Edge() MiddlewareOption { return edgeOption{} }

// Middleware watches every request that next serves; make it the outermost layer. It gives the request a correlation id
// (the caller's X-Correlation-ID when that is valid, else a new one; it is returned in the reply), continues the trace
// of the caller's traceparent, starts a span, counts the request in http_server_request_duration_seconds{http_route,
// http_request_method,http_response_status_code} and writes one access line. The route comes from [Route] or [Probe].
//
// A panic is recorded and passes through. A caller who went away before a reply was begun counts as status 499.
func (t *Telemetry) Middleware(next http.Handler, opts ...MiddlewareOption) http.Handler {
	var o middlewareOptions
	for _, opt := range opts {
		opt.apply(&o)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.serve(w, r, next, o) })
}

func (t *Telemetry) serve(w http.ResponseWriter, r *http.Request, next http.Handler, o middlewareOptions) {
	begun := time.Now()
	method := knownMethod(r.Method)
	ctx := correlation.With(r.Context(), correlation.IDs{Correlation: incomingID(r.Header)})
	ctx, span := t.startServerSpan(ctx, r, method, o)
	state := &requestState{route: unmatched}
	ctx = context.WithValue(ctx, stateKey{}, state)
	w.Header().Set(correlation.HTTPHeader, CorrelationID(ctx))

	active := metric.WithAttributeSet(attribute.NewSet(attribute.String("http.request.method", method)))
	t.inst.serverActive.Add(ctx, 1, active)
	rec := &recorder{ResponseWriter: w}
	returned := false
	defer func() {
		t.inst.serverActive.Add(ctx, -1, active)
		t.finish(ctx, span, r, rec, state, finished{method: method, took: time.Since(begun), panicked: !returned})
	}()
	next.ServeHTTP(rec, r.WithContext(ctx))
	returned = true
}

// startServerSpan starts the span of a request, below the caller's span or beside it.
func (t *Telemetry) startServerSpan(
	ctx context.Context, r *http.Request, method string, o middlewareOptions,
) (context.Context, trace.Span) {
	opts := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("http.request.method", method),
			attribute.String("url.path", printable(r.URL.Path, 256)),
		),
	}
	if remote := extractHTTP(r.Header); remote.IsValid() {
		if o.edge {
			opts = append(opts, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: remote}))
		} else {
			ctx = trace.ContextWithRemoteSpanContext(ctx, remote)
		}
	}
	return t.tracer.Start(ctx, method, opts...)
}

type finished struct {
	method   string
	took     time.Duration
	panicked bool
}

func (t *Telemetry) finish(ctx context.Context, span trace.Span, r *http.Request, rec *recorder, state *requestState, f finished) {
	state.mu.Lock()
	route, principal, errorType, err := state.route, state.principal, state.errorType, state.err
	state.mu.Unlock()
	status := rec.status
	switch {
	case status != 0:
	case f.panicked:
		status = http.StatusInternalServerError
	case errors.Is(r.Context().Err(), context.Canceled):
		status = statusClientClosed
	default:
		status = http.StatusOK
	}
	if f.panicked && errorType == "" {
		errorType = "panic"
	}
	if errorType == "" && status >= 500 {
		errorType = strconv.Itoa(status)
	}

	t.inst.serverDuration.Record(ctx, f.took.Seconds(), metric.WithAttributes(
		attribute.String("http.route", route), attribute.String("http.request.method", f.method),
		attribute.Int("http.response.status_code", status)))

	span.SetName(f.method + " " + route)
	span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
	if status >= 500 {
		span.SetAttributes(attribute.String("error.type", errorType))
		if err != nil {
			spanError(span, err)
		} else {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
	t.accessLine(ctx, r, rec, accessLine{finished: f, route: route, principal: principal, errorType: errorType, err: err, status: status})
}

type accessLine struct {
	finished
	route, principal, errorType string
	err                         error
	status                      int
}

// accessLine writes the one line of a request. The query is left out: it may hold what must not be written down.
func (t *Telemetry) accessLine(ctx context.Context, r *http.Request, rec *recorder, a accessLine) {
	level := zapcore.InfoLevel
	if a.status >= 500 {
		level = zapcore.ErrorLevel
	}
	ce := t.access.Check(level, "request")
	if ce == nil {
		return
	}
	fields := append(contextFields(ctx),
		zap.String("method", a.method), zap.String("route", a.route), zap.String("path", printable(r.URL.Path, 256)),
		zap.Int("status", a.status), zap.Int64("bytes", rec.bytes),
		zap.Float64("duration_ms", float64(a.took.Microseconds())/1000),
		zap.String("user_agent", printable(r.UserAgent(), 128)))
	if a.principal != "" {
		fields = append(fields, zap.String("principal", printable(a.principal, maxPrincipal)))
	}
	if a.errorType != "" {
		fields = append(fields, zap.String("error_type", a.errorType))
	}
	if a.err != nil {
		fields = append(fields, zap.String("error", oneLine(a.err.Error(), 1024)))
	}
	ce.Write(fields...)
}

// incomingID is the caller's correlation id when there is exactly one and it is harmless, else a new one.
func incomingID(h http.Header) string {
	if v := h.Values(correlation.HTTPHeader); len(v) == 1 && correlation.Valid(v[0]) {
		return v[0]
	}
	return correlation.New()
}

// knownMethod keeps the label's values few: a stranger may send any token as a method.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	default:
		return "_OTHER"
	}
}
