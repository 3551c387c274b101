package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/marty-framework/mmf/observability"
)

// StatusClientClosed is the status noted for a caller who went away before the reply; nobody receives it.
const StatusClientClosed = 499

// typePrefix names the problem types of this package; what follows is a word of a closed set.
const typePrefix = "urn:problem-type:mmf:"

// Problem is an error reply after RFC 9457, and an error: a handler returns one to choose the reply itself. Everything
// but Cause is shown to the caller. A Problem is not changed after it was returned, so one value may serve many requests.
type Problem struct {
	// Type identifies the kind of problem for programs. Empty: one that belongs to Status.
	Type string `json:"type"`
	// Title is the kind of problem in words, the same every time. Empty: the name of Status.
	Title string `json:"title"`
	// Status is the HTTP status, 400 to 599.
	Status int `json:"status"`
	// Detail is what went wrong this time and what the caller can do.
	Detail string `json:"detail,omitempty"`
	// Instance is the path of the request. Filled in.
	Instance string `json:"instance,omitempty"`
	// CorrelationID and TraceID lead to the logs. Filled in.
	CorrelationID string `json:"correlation_id,omitempty"`
	TraceID       string `json:"trace_id,omitempty"`
	// Retryable says that the same request may succeed later without a change.
	Retryable bool `json:"retryable"`
	// Errors name the parts of the request that were wrong.
	Errors []FieldError `json:"errors,omitempty"`

	// RetryAfter becomes the Retry-After header when positive.
	RetryAfter time.Duration `json:"-"`
	// Cause is for logs and errors.Is, never for the caller.
	Cause error `json:"-"`
}

// FieldError says what is wrong with one part of a request.
type FieldError struct {
	// Field is where: a path of member names such as "items.quantity", or a parameter's name.
	Field string `json:"field"`
	// Message is what is wrong with it.
	Message string `json:"message"`
}

// NewProblem makes a problem whose type and title belong to status. The detail is shown to the caller.
func NewProblem(status int, detail string) *Problem { return &Problem{Status: status, Detail: detail} }

// Invalid makes a 422 problem that names one field, for a Validate method or a handler.
func Invalid(field, message string) *Problem {
	return &Problem{
		Status: http.StatusUnprocessableEntity, Detail: "The request was understood but is not valid.",
		Errors: []FieldError{{Field: field, Message: message}},
	}
}

// WithCause returns a copy of p with a cause for the logs.
func (p *Problem) WithCause(err error) *Problem {
	c := *p
	c.Cause = err
	return &c
}

// Error tells status, detail and cause.
func (p *Problem) Error() string {
	s := fmt.Sprintf("%d %s", p.Status, p.title())
	if p.Detail != "" {
		s += ": " + p.Detail
	}
	for _, f := range p.Errors {
		s += fmt.Sprintf(" (%s: %s)", f.Field, f.Message)
	}
	if p.Cause != nil {
		s += ": " + p.Cause.Error()
	}
	return s
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Cause }

func (p *Problem) title() string {
	switch {
	case p.Title != "":
		return p.Title
	case p.Status == StatusClientClosed:
		return "Client Closed Request"
	default:
		return http.StatusText(p.Status)
	}
}

// word is the last part of a type, for metrics and logs.
func (p *Problem) word() string {
	if p.Type != "" {
		if len(p.Type) > len(typePrefix) && p.Type[:len(typePrefix)] == typePrefix {
			return p.Type[len(typePrefix):]
		}
		return "application"
	}
	if w, ok := words[p.Status]; ok {
		return w
	}
	return "status-" + strconv.Itoa(p.Status)
}

// words are the types that belong to a status.
var words = map[int]string{
	http.StatusBadRequest: "invalid-request", http.StatusUnauthorized: "unauthenticated", http.StatusForbidden: "forbidden",
	http.StatusNotFound: "not-found", http.StatusMethodNotAllowed: "method-not-allowed", http.StatusRequestTimeout: "request-timeout",
	http.StatusConflict: "conflict", http.StatusPreconditionFailed: "precondition-failed",
	http.StatusRequestEntityTooLarge: "body-too-large", http.StatusUnsupportedMediaType: "unsupported-media-type",
	http.StatusUnprocessableEntity: "not-valid", http.StatusTooManyRequests: "rate-limited",
	StatusClientClosed: "client-closed", http.StatusInternalServerError: "internal", http.StatusBadGateway: "bad-gateway",
	http.StatusServiceUnavailable: "unavailable", http.StatusGatewayTimeout: "timeout",
}

// write sends the problem. Headers that belong to the reply that was not given are taken back.
func (p Problem) write(w http.ResponseWriter, r *http.Request) {
	if p.Type == "" {
		p.Type = typePrefix + p.word()
	}
	p.Title = p.title()
	p.Instance = truncate(r.URL.EscapedPath(), 256)
	p.CorrelationID = observability.CorrelationID(r.Context())
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		p.TraceID = sc.TraceID().String()
	}
	body, err := json.Marshal(p)
	if err != nil { // a Problem holds nothing that cannot be encoded
		body = []byte(`{"type":"` + typePrefix + `internal","status":500}`)
	}
	h := w.Header()
	for _, name := range [...]string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified", "Location"} {
		h.Del(name)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(p.RetryAfter), 10))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the caller went away: there is nobody left to tell
}

// seconds rounds up: a caller who comes back a moment early would be refused again.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func truncate(s string, limit int) string {
	if len(s) > limit {
		return s[:limit]
	}
	return s
}
