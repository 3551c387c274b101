// Package resiliencehttp puts a [resilience.Policy] around an HTTP client.
//
//	client := &http.Client{Transport: resiliencehttp.Transport(policy, http.DefaultTransport)}
//
// # What counts
//
// A response of 500 and above, other than 501 and 505, and a 429 are failures; so is an error of the connection. All
// other responses are answers and count as successes. A Classify function of the policy can decide otherwise: it gets a
// [*StatusError]. The caller still gets the response itself, with its body, when the last attempt ended in such a status;
// an error only when there is no response.
//
// # What is repeated
//
// GET, HEAD, OPTIONS, TRACE, PUT and DELETE, and other methods when the request has an Idempotency-Key header; in all
// cases only when the body can be sent again (none, or Request.GetBody is set, as [http.NewRequest] does for buffers and
// strings). So a plain POST is attempted once. Retry-After, in seconds or as a date, is the least wait. The body of an
// earlier attempt's response is read to its end, up to 64 KiB, and closed before the next attempt, so that its connection
// is used again.
//
// # What the timeout covers
//
// The policy's timeout runs from the start of an attempt until the response's body is closed, like [http.Client.Timeout]
// but for each attempt: reading on after it fails with an error that matches [resilience.ErrTimeout]. The breaker has
// judged the attempt by then, when the headers arrived, and the bulkhead's permit is returned then as well. For streams
// use a policy with DisableTimeout. A connection that was switched to another protocol (101) is not limited.
//
// # Deadline propagation
//
// Each attempt carries what is left of its time in whole milliseconds in the header X-Request-Timeout-Ms: a span, not a
// moment, so that clocks need not agree. [Deadline] applies it on the server, where it can only shorten.
package resiliencehttp
