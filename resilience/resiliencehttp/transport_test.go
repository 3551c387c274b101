package resiliencehttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/resilience/resiliencehttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newPolicy(t testing.TB, cfg resilience.Config) *resilience.Policy {
	t.Helper()
	cfg.Name = "dep"
	p, err := resilience.New(cfg)
	require.NoError(t, err)
	return p
}

// trackedBody tells whether a body was read to its end and closed.
type trackedBody struct {
	io.Reader
	ended, closed bool
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

func (b *trackedBody) Close() error { b.closed = true; return nil }

func answer(status int, header ...string) (*http.Response, *trackedBody) {
	body := &trackedBody{Reader: strings.NewReader("answer")}
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: body}, body
}

func request(t testing.TB, method, body string, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://dep.test/", strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, method string
		key          bool
		status       int
		stream       bool // a body that cannot be sent twice
		want         int
	}{
		{name: "GET 503", method: "GET", status: 503, want: 3},
		{name: "GET 429", method: "GET", status: 429, want: 3},
		{name: "GET 404 is an answer", method: "GET", status: 404, want: 1},
		{name: "GET 501 is an answer", method: "GET", status: 501, want: 1},
		{name: "PUT", method: "PUT", status: 500, want: 3},
		{name: "PUT of a stream", method: "PUT", status: 500, stream: true, want: 1},
		{name: "POST", method: "POST", status: 503, want: 1},
		{name: "POST with a key", method: "POST", key: true, status: 503, want: 3},
		{name: "POST of a stream with a key", method: "POST", key: true, status: 503, stream: true, want: 1},
		{name: "PATCH with a key", method: "PATCH", key: true, status: 503, want: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var sent []string
				var bodies []*trackedBody
				rt := resiliencehttp.Transport(newPolicy(t, resilience.Config{}), roundTrip(func(r *http.Request) (*http.Response, error) {
					b, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					sent = append(sent, string(b))
					for _, earlier := range bodies {
						require.True(t, earlier.ended && earlier.closed, "the earlier response is drained and closed before the next attempt")
					}
					resp, body := answer(tt.status)
					bodies = append(bodies, body)
					return resp, nil
				}))
				req := request(t, tt.method, "order")
				if tt.key {
					req.Header.Set("Idempotency-Key", "k1")
				}
				if tt.stream {
					req.GetBody = nil
				}
				resp, err := rt.RoundTrip(req)
				require.NoError(t, err, "the caller gets the response")
				require.Equal(t, tt.status, resp.StatusCode)
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				require.Equal(t, "answer", string(got))
				require.NoError(t, resp.Body.Close())
				require.True(t, bodies[len(bodies)-1].closed)
				require.Len(t, sent, tt.want)
				for _, body := range sent {
					require.Equal(t, "order", body, "each attempt sends the whole body")
				}
				require.Empty(t, req.Header.Get(resiliencehttp.DeadlineHeader), "the caller's request is not changed")
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"2", "date", "junk"} {
		synctest.Test(t, func(t *testing.T) {
			value, least := form, 2*time.Second
			switch form {
			case "date":
				value = time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat)
			case "junk":
				least = 0
			}
			attempts := 0
			rt := resiliencehttp.Transport(newPolicy(t, resilience.Config{}), roundTrip(func(*http.Request) (*http.Response, error) {
				if attempts++; attempts == 1 {
					resp, _ := answer(503, "Retry-After", value)
					return resp, nil
				}
				resp, _ := answer(200)
				return resp, nil
			}))
			start := time.Now()
			resp, err := rt.RoundTrip(request(t, "GET", ""))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, 200, resp.StatusCode)
			require.GreaterOrEqual(t, time.Since(start), least)
			require.Less(t, time.Since(start), least+time.Second)
		})
	}
}

func TestRefusedRequestClosesItsBody(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, resilience.Config{})
	require.NoError(t, p.ForceOpen(time.Minute))
	body := &trackedBody{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dep.test/", body)
	require.NoError(t, err)
	client := http.Client{Transport: resiliencehttp.Transport(p, roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("reached")
		return nil, errors.New("reached")
	}))}
	_, err = client.Do(req)
	require.ErrorIs(t, err, resilience.ErrOpen)
	require.True(t, body.closed)
}

// TestOpenBreakerAfterFailures: a refusal in the middle of the attempts is told as such and leaves no response open.
func TestOpenBreakerAfterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Breaker: resilience.Breaker{Failures: 2}, Retry: resilience.Retry{Max: 5}})
		var bodies []*trackedBody
		rt := resiliencehttp.Transport(p, roundTrip(func(*http.Request) (*http.Response, error) {
			resp, body := answer(500)
			bodies = append(bodies, body)
			return resp, nil
		}))
		_, err := rt.RoundTrip(request(t, "GET", ""))
		require.ErrorIs(t, err, resilience.ErrOpen)
		var status *resiliencehttp.StatusError
		require.ErrorAs(t, err, &status)
		require.Equal(t, 500, status.StatusCode)
		require.Len(t, bodies, 2)
		for _, b := range bodies {
			require.True(t, b.closed)
		}
	})
}

// TestTimeoutCoversTheBody runs over a real connection: headers in time, then a body that stalls.
func TestTimeoutCoversTheBody(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ms, _ := strconv.ParseInt(r.Header.Get(resiliencehttp.DeadlineHeader), 10, 64)
		seen.Store(ms)
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(stop)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	p := newPolicy(t, resilience.Config{Timeout: 200 * time.Millisecond})
	client := http.Client{Transport: resiliencehttp.Transport(p, base)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	require.Equal(t, "first", string(got), "the body can be read although the attempt is over")
	require.ErrorIs(t, err, resilience.ErrTimeout)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Positive(t, seen.Load())
	require.LessOrEqual(t, seen.Load(), int64(200))
}

// TestTimeoutBeforeTheHeaders is a failure, and the connection's context ended.
func TestTimeoutBeforeTheHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPolicy(t, resilience.Config{Timeout: time.Second, Breaker: resilience.Breaker{Failures: 1}})
		rt := resiliencehttp.Transport(p, roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		_, err := rt.RoundTrip(request(t, "POST", "x"))
		require.ErrorIs(t, err, resilience.ErrTimeout)
		require.Equal(t, resilience.Open, p.State().Breaker)
	})
}

func TestDeadlineOnTheServer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header  string
		longest time.Duration
		want    time.Duration
	}{
		"shortens":          {"300", time.Second, 300 * time.Millisecond},
		"cannot lengthen":   {"5000", time.Second, time.Second},
		"absent":            {"", time.Second, time.Second},
		"nonsense":          {"-1", time.Second, time.Second},
		"overflow":          {"99999999999999999999", time.Second, time.Second},
		"no limit, asked":   {"300", 0, 300 * time.Millisecond},
		"no limit, unasked": {"", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got time.Duration
				h := resiliencehttp.Deadline(tt.longest, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if deadline, ok := r.Context().Deadline(); ok {
						got = time.Until(deadline)
					}
				}))
				req := request(t, "GET", "", resiliencehttp.DeadlineHeader, tt.header)
				h.ServeHTTP(httptest.NewRecorder(), req)
				require.Equal(t, tt.want, got)
			})
		})
	}
}

func ExampleTransport() {
	var attempts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if attempts.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "3 pets")
	}))
	defer server.Close()

	catalog, err := resilience.New(resilience.Config{Name: "catalog", Retry: resilience.Retry{First: time.Millisecond}})
	if err != nil {
		fmt.Println(err)
		return
	}
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	client := http.Client{Transport: resiliencehttp.Transport(catalog, base)}
	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body), attempts.Load())
	// Output: 200 3 pets 2
}
