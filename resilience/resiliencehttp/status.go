package resiliencehttp

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is what a Classify function gets for a response whose status says that the server is not well.
type StatusError struct {
	StatusCode int

	retryAfter time.Duration
	response   *http.Response
}

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("resiliencehttp: the server answered %d %s", e.StatusCode, http.StatusText(e.StatusCode))
}

// RetryAfter is the wait that the server asked for, 0 for none.
func (e *StatusError) RetryAfter() time.Duration { return e.retryAfter }

func failed(status int) bool {
	switch status {
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false // the same tomorrow
	case http.StatusTooManyRequests:
		return true
	default:
		return status >= 500
	}
}

// parseRetryAfter reads the header in either form of RFC 9110, section 10.2.3; 0 for none, a past date, or nonsense.
func parseRetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil { // 68 years cannot overflow a Duration
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
