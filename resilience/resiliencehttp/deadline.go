package resiliencehttp

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// DeadlineHeader tells the server how many milliseconds the caller will wait.
const DeadlineHeader = "X-Request-Timeout-Ms"

// setDeadline writes what is left until the context's deadline, at least 1 ms; without a deadline it leaves what the caller set.
func setDeadline(ctx context.Context, h http.Header) {
	if deadline, ok := ctx.Deadline(); ok {
		h.Set(DeadlineHeader, strconv.FormatInt(max(1, time.Until(deadline).Milliseconds()), 10))
	}
}

// Deadline limits requests to what [DeadlineHeader] says, and to longest where it is absent, invalid or larger. A longest
// of 0 or less limits nothing by itself. The handler must obey the request's context; what it answers after the end is up
// to it.
func Deadline(longest time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := longest
		if ms, err := strconv.ParseUint(r.Header.Get(DeadlineHeader), 10, 31); err == nil && ms > 0 {
			if asked := time.Duration(ms) * time.Millisecond; limit <= 0 || asked < limit {
				limit = asked
			}
		}
		if limit <= 0 {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
