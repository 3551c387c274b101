package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/marty-framework/mmf/service"
)

// Bounds of the live streams.
const (
	maxStreams    = 200
	streamFor     = 2 * time.Minute // browsers connect again by themselves
	streamPoll    = 250 * time.Millisecond
	streamRestful = 15 * time.Second // a sign of life for proxies in between
)

// streams bounds the live streams and ends them when the service stops, which must not wait for people who watch.
type streams struct {
	slots chan struct{}
	stop  chan struct{}
}

func newStreams() *streams {
	return &streams{slots: make(chan struct{}, maxStreams), stop: make(chan struct{})}
}

// Run ends the live streams when ctx ends.
func (p *Pages) Run(ctx context.Context) error {
	<-ctx.Done()
	close(p.streams.stop)
	return nil
}

// live streams an order's frames as server-sent events: first those that have happened, then each as it happens. The event "end" says
// that there will be no more. A browser that connects again says which frame was its last.
func (p *Pages) live(v *visit) error {
	if !p.liveFor(v.Context(), v.user) { // a script asks here: it gets no page
		service.WriteError(v.w, v.Request, service.NewProblem(http.StatusNotFound, "Live updates are switched off: read the order's page instead."))
		return nil
	}
	id := v.PathValue("id")
	_, frames, err := p.progress(v.Context(), v, id)
	if err != nil {
		return service.NewProblem(http.StatusNotFound, "There is no such order of yours to watch.").WithCause(err)
	}
	select {
	case p.streams.slots <- struct{}{}:
		defer func() { <-p.streams.slots }()
	default:
		busy := service.NewProblem(http.StatusServiceUnavailable, "Too many people are watching. Reload the page instead.")
		busy.Retryable, busy.RetryAfter = true, 5*time.Second
		return busy
	}
	var seen int64 = -1
	if last := v.Header.Get("Last-Event-ID"); last != "" {
		if _, err := fmt.Sscan(last, &seen); err != nil {
			seen = -1
		}
	}
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.WriteHeader(http.StatusOK)
	out := &eventWriter{w: v.w, flush: http.NewResponseController(v.w)}
	ctx, cancel := context.WithTimeout(v.Context(), streamFor)
	defer cancel()
	p.follow(ctx, v, id, frames, seen, out)
	return nil // the reply has begun: there is nothing left to say
}

// follow writes frames that the visitor has not seen until the order has ended, the visitor has gone, or the service stops.
func (p *Pages) follow(ctx context.Context, v *visit, id string, frames []Frame, seen int64, out *eventWriter) {
	poll := time.NewTicker(streamPoll)
	defer poll.Stop()
	quietSince := time.Now()
	before := Order{}
	for {
		for _, f := range frames {
			if f.Seq > seen {
				seen, quietSince = f.Seq, time.Now()
				out.event("frame", f.Seq, f)
			}
		}
		if n := len(frames); n > 0 && frames[n-1].Done {
			out.event("end", seen, struct{}{})
			return
		}
		if time.Since(quietSince) > streamRestful {
			quietSince = time.Now()
			out.comment("still here")
		}
		if out.err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-p.streams.stop:
			return
		case <-poll.C:
		}
		if !p.liveFor(ctx, v.user) {
			return // the browser asks again and learns why
		}
		order, err := p.api.order(ctx, v.token, id)
		if err != nil || same(order, before) {
			continue // a service that is away for a moment is no reason to stop
		}
		if _, now, err := p.progress(ctx, v, id); err == nil {
			before, frames = order, now
		}
	}
}

// same reports whether the order's saga has not moved, so that the journal need not be read.
func same(a, b Order) bool {
	return a.Workflow == b.Workflow && slices.Equal(a.WorkflowSteps, b.WorkflowSteps)
}

// eventWriter writes server-sent events until the first error.
type eventWriter struct {
	w     http.ResponseWriter
	flush *http.ResponseController
	err   error
}

func (e *eventWriter) event(name string, id int64, data any) {
	encoded, err := json.Marshal(data) // one line: newlines in texts are escaped
	if err != nil {
		e.err = err
		return
	}
	e.write(fmt.Appendf(nil, "event: %s\nid: %d\ndata: %s\n\n", name, id, encoded))
}

func (e *eventWriter) comment(text string) { e.write(fmt.Appendf(nil, ": %s\n\n", text)) }

func (e *eventWriter) write(b []byte) {
	if e.err != nil {
		return
	}
	if _, err := bytes.NewReader(b).WriteTo(e.w); err != nil {
		e.err = err
		return
	}
	if err := e.flush.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		e.err = err
	}
}
