package observability

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/internal/correlation"
)

const (
	traceparent = "traceparent"
	tracestate  = "tracestate"
)

// Inject writes the ids of ctx into the headers of a message: traceparent, tracestate, correlation-id and causation-id,
// each only when ctx has it. A nil map is left alone. It fits the header hooks of outboxes and publishers.
func (t *Telemetry) Inject(ctx context.Context, headers map[string]string) {
	if headers == nil {
		return
	}
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(headers))
	ids := correlation.From(ctx)
	if ids.Correlation != "" {
		headers[correlation.Header] = ids.Correlation
	}
	if ids.Causation != "" {
		headers[correlation.CausationHeader] = ids.Causation
	}
}

// Extract returns ctx with the ids that a message's headers carry, so that the work on it continues the trace and the
// action of whoever sent it. What is not valid is ignored; a message without a valid correlation id gets the one of ctx
// or a new one, so that its log lines belong together. It fits the header hooks of consumers.
func (t *Telemetry) Extract(ctx context.Context, headers map[string]string) context.Context {
	ctx = propagation.TraceContext{}.Extract(ctx, messageCarrier(headers))
	ids := correlation.From(ctx)
	if id := headers[correlation.Header]; correlation.Valid(id) {
		ids.Correlation = id
	} else if ids.Correlation == "" {
		ids.Correlation = correlation.New()
	}
	ids.Causation = ""
	if id := headers[correlation.CausationHeader]; correlation.Valid(id) {
		ids.Causation = id
	}
	return correlation.With(ctx, ids)
}

// extractHTTP reads the caller's span from a request's header, invalid when there is none that may be used.
func extractHTTP(h http.Header) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), headerCarrier(h))
	return trace.SpanContextFromContext(ctx)
}

func injectHTTP(ctx context.Context, h http.Header) {
	h.Del(traceparent)
	h.Del(tracestate)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	if id := correlation.From(ctx).Correlation; id != "" {
		h.Set(correlation.HTTPHeader, id)
	}
}

// headerCarrier reads W3C headers as the specification wants it, which reading the first value of each does not:
// exactly one traceparent; every tracestate, joined in order.
type headerCarrier http.Header

// Get implements propagation.TextMapCarrier.
func (c headerCarrier) Get(key string) string {
	values := http.Header(c).Values(key)
	switch key {
	case traceparent:
		if len(values) != 1 {
			return ""
		}
		return cleanParent(values[0])
	case tracestate:
		return cleanState(values)
	default:
		return ""
	}
}

// Set implements propagation.TextMapCarrier; this carrier is for reading.
func (headerCarrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (headerCarrier) Keys() []string { return nil }

// messageCarrier is headerCarrier for the headers of a message, which hold one value per name.
type messageCarrier map[string]string

// Get implements propagation.TextMapCarrier.
func (c messageCarrier) Get(key string) string {
	switch key {
	case traceparent:
		return cleanParent(c[key])
	case tracestate:
		return cleanState([]string{c[key]})
	default:
		return ""
	}
}

// Set implements propagation.TextMapCarrier; this carrier is for reading.
func (messageCarrier) Set(string, string) {}

// Keys implements propagation.TextMapCarrier.
func (messageCarrier) Keys() []string { return nil }

// cleanParent refuses what the OTel parser lets through: version 00 has exactly 55 characters.
func cleanParent(s string) string {
	s = strings.Trim(s, " \t")
	if strings.HasPrefix(s, "00-") && len(s) != 55 {
		return ""
	}
	return s
}

// cleanState joins several headers and drops empty list members, which are allowed but not understood by every parser.
func cleanState(values []string) string {
	var members []string
	for _, v := range values {
		for m := range strings.SplitSeq(v, ",") {
			if m = strings.Trim(m, " \t"); m != "" {
				members = append(members, m)
			}
		}
	}
	return strings.Join(members, ",")
}
