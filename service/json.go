package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Response is an Out of [JSON] that chooses status and headers itself.
type Response[T any] struct {
	// Status is 200 to 299. 0: 200.
	Status int
	// Header is added to the reply. May be nil.
	Header http.Header
	// Body is encoded as JSON, unless Status is 204.
	Body T
}

func (r Response[T]) reply() (int, http.Header, any) { return r.Status, r.Header, r.Body }

// JSONOption varies one [JSON] handler.
type JSONOption interface{ apply(*jsonOptions) }

type jsonOptions struct{ status int }

type statusOption int

func (s statusOption) apply(o *jsonOptions) { o.status = int(s) }

// Status is the status of a successful reply, 200 to 299, instead of 200.
func Status(code int) JSONOption { return statusOption(code) }

// JSON makes a handler of a function. In is decoded strictly and Out is encoded; an error is answered by [WriteError].
//
// In is usually a struct. Fields tagged `path:"id"`, `query:"limit"` or `header:"Idempotency-Key"` come from there; they
// must be exported and also carry `json:"-"`, so that the body cannot set them. The other fields are the JSON body, of
// which unknown, repeated and wrongly typed members, data behind it and broken UTF-8 are refused with 400 and the
// member's name, and any other content type with 415. Without such fields no body is read. When In, or a pointer to it,
// has a method Validate() error, it is called; its error is answered with 422 and its text, unless it is a [*Problem].
//
// Out is encoded before anything is sent. Out struct{} is answered with 204 and no body; [Response] chooses its status.
func JSON[In, Out any](fn func(ctx context.Context, in In) (Out, error), opts ...JSONOption) http.Handler {
	o := jsonOptions{status: http.StatusOK}
	for _, opt := range opts {
		opt.apply(&o)
	}
	plan, err := planFor[In]()
	return &jsonHandler[In, Out]{fn: fn, plan: plan, planErr: err, options: o}
}

type jsonHandler[In, Out any] struct {
	fn      func(context.Context, In) (Out, error)
	plan    *bindPlan
	planErr error
	options jsonOptions
}

// checkRoute lets Handle refuse what could only fail at the first request.
func (h *jsonHandler[In, Out]) checkRoute(pattern string) error {
	switch {
	case h.fn == nil:
		return errors.New("the function given to JSON is nil")
	case h.options.status < 200 || h.options.status > 299:
		return fmt.Errorf("the status given to JSON is %d, not a success", h.options.status)
	case h.planErr != nil:
		return h.planErr
	default:
		return h.plan.check(pattern)
	}
}

// ServeHTTP decodes, calls and encodes.
func (h *jsonHandler[In, Out]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.planErr != nil {
		WriteError(w, r, h.planErr)
		return
	}
	var in In
	if err := h.plan.decode(r, &in); err != nil {
		WriteError(w, r, err)
		return
	}
	out, err := h.fn(r.Context(), in)
	if err != nil {
		WriteError(w, r, err)
		return
	}
	status, body := h.options.status, any(out)
	switch v := body.(type) {
	case interface {
		reply() (int, http.Header, any)
	}:
		var header http.Header
		var chosen int
		if chosen, header, body = v.reply(); chosen != 0 {
			status = chosen
		}
		for name, values := range header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
	case struct{}:
		status = http.StatusNoContent
	}
	WriteJSON(w, r, status, body)
}

// WriteJSON answers with v as JSON, encoded as a whole before anything is sent: what cannot be encoded is answered with a
// 500 problem. A status that allows no body, such as 204, gets none.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		WriteError(w, r, fmt.Errorf("service: encode the reply: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller went away: there is nobody left to tell
}
