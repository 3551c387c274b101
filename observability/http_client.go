package observability

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Transport watches the calls that go through base: a client span, http_client_request_duration_seconds{server_address,
// http_request_method,http_response_status_code|error_type}, and traceparent and X-Correlation-ID on the request. Nil
// base: http.DefaultTransport. Do not let input choose the host without an allow-list: it is a label here.
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base: base, tel: t}
}

type transport struct {
	base http.RoundTripper
	tel  *Telemetry
}

// RoundTrip implements http.RoundTripper. The caller's request is not changed.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	method := knownMethod(req.Method)
	if req.Method == "" {
		method = http.MethodGet
	}
	host := strings.ToLower(req.URL.Hostname())
	ctx, span := t.tel.tracer.Start(req.Context(), method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", method),
		attribute.String("server.address", host),
		attribute.String("url.path", printable(req.URL.Path, 256)),
	))
	defer span.End()
	out := req.Clone(ctx)
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	injectHTTP(ctx, out.Header)

	begun := time.Now()
	resp, err := t.base.RoundTrip(out)
	attrs := []attribute.KeyValue{attribute.String("server.address", host), attribute.String("http.request.method", method)}
	if err != nil {
		kind := clientErrorType(err)
		attrs = append(attrs, attribute.String("error.type", kind))
		span.SetAttributes(attribute.String("error.type", kind))
		spanError(span, err)
	} else {
		attrs = append(attrs, attribute.Int("http.response.status_code", resp.StatusCode))
		span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
		if resp.StatusCode >= 400 {
			span.SetStatus(codes.Error, "")
		}
	}
	t.tel.inst.clientDuration.Record(ctx, time.Since(begun).Seconds(), metric.WithAttributes(attrs...))
	return resp, err
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the base.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// clientErrorType is of a closed set: it is a label.
func clientErrorType(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return "connection"
	}
}
