package resiliencehttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/marty-framework/mmf/resilience"
)

// IdempotencyKeyHeader marks a request that the server carries out once however often it arrives.
const IdempotencyKeyHeader = "Idempotency-Key"

// maxDrain is how much of an abandoned body is read to save its connection.
const maxDrain = 64 << 10

// Transport returns a round tripper that sends requests through base under the policy. A nil base is [http.DefaultTransport]. It is
// safe for concurrent use. Besides base's errors it returns those of [resilience.Do]: test for [resilience.ErrOpen],
// [resilience.ErrRejected] and [resilience.ErrTimeout] with [errors.Is], through the [*url.Error] of a client too.
func Transport(policy *resilience.Policy, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{policy: policy, base: base}
}

type transport struct {
	policy *resilience.Policy
	base   http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c := &call{base: t.base, req: req}
	var opts []resilience.Option
	if repeatable(req) {
		opts = append(opts, resilience.Idempotent())
	}
	resp, err := resilience.Do(req.Context(), t.policy, c.attempt, opts...)
	if !c.bodyTaken && req.Body != nil {
		_ = req.Body.Close() // a round tripper closes the body always, also of a refused request
	}
	var status *StatusError
	if err == nil {
		return resp, nil
	}
	if errors.As(err, &status) && status.response == c.last && !refused(err) {
		return c.last, nil // the caller judges the response as without a policy
	}
	c.drop()
	return nil, err
}

// refused reports whether a later attempt did not reach the server: the caller should learn why.
func refused(err error) bool {
	return errors.Is(err, resilience.ErrOpen) || errors.Is(err, resilience.ErrRejected) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func repeatable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	default:
		return req.Header.Get(IdempotencyKeyHeader) != ""
	}
}

// call is one request with its attempts, which run one after the other.
type call struct {
	base      http.RoundTripper
	req       *http.Request
	bodyTaken bool
	// last is the response of the last attempt if its status was a failure.
	last *http.Response
}

func (c *call) attempt(ctx context.Context) (*http.Response, error) {
	c.drop()
	limit := newLimit(ctx, c.req.Context())
	req := c.req.Clone(limit.ctx)
	setDeadline(ctx, req.Header)
	if c.req.Body != nil && c.bodyTaken {
		body, err := c.req.GetBody()
		if err != nil {
			limit.end()
			return nil, resilience.Permanent(err)
		}
		req.Body = body
	}
	c.bodyTaken = true
	resp, err := c.base.RoundTrip(req)
	if err != nil {
		limit.end()
		return nil, limit.explain(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		limit.lift()
		return resp, nil
	}
	resp.Body = &body{ReadCloser: resp.Body, limit: limit}
	if !failed(resp.StatusCode) {
		return resp, nil
	}
	c.last = resp
	return nil, &StatusError{StatusCode: resp.StatusCode, retryAfter: parseRetryAfter(resp.Header, time.Now()), response: resp}
}

// drop gives up the response of the attempt before.
func (c *call) drop() {
	if c.last == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.last.Body, maxDrain)
	_ = c.last.Body.Close()
	c.last = nil
}
