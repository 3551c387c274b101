package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/resilience"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

// inner is what must never reach a caller, in the texts of the errors below.
const inner = "pq: SQLSTATE 42P01 at /home/app/store.go:12 goroutine 7 [running] db.internal:5432"

type waiting struct{}

func (waiting) Error() string             { return inner }
func (waiting) RetryAfter() time.Duration { return 1500 * time.Millisecond }

func TestEveryErrorHasItsReply(t *testing.T) {
	t.Parallel()
	dbError := func(k data.Kind) error { return &data.Error{Kind: k, Code: "42", Err: errors.New(inner)} }
	denied := &security.DeniedError{Decision: security.Decision{Policy: inner, Reason: "missing_role"}}
	own := errors.New("out of stock")
	cases := []struct {
		name       string
		err        error
		status     int
		word       string
		retryable  bool
		retryAfter string
	}{
		{"anything else", errors.New(inner), 500, "internal", false, ""},
		{"no credentials", security.ErrNoCredentials, 401, "unauthenticated", false, ""},
		{"invalid token", fmt.Errorf("%s: %w", inner, security.ErrInvalidToken), 401, "unauthenticated", false, ""},
		{"unauthenticated", &security.DeniedError{Decision: security.Decision{Reason: security.ReasonAnonymous}}, 401, "unauthenticated", false, ""},
		{"denied", denied, 403, "forbidden", false, ""},
		{"no decision", security.ErrUnavailable, 503, "unavailable", true, ""},
		{"too large", &http.MaxBytesError{Limit: 1}, 413, "body-too-large", false, ""},
		{"no rows", fmt.Errorf("%s: %w", inner, data.ErrNoRows), 404, "not-found", false, ""},
		{"unique", dbError(data.KindUnique), 409, "conflict", false, ""},
		{"conflict", dbError(data.KindConflict), 503, "unavailable", true, "1"},
		{"database timeout", dbError(data.KindTimeout), 503, "unavailable", true, ""},
		{"database away", dbError(data.KindUnavailable), 503, "unavailable", true, ""},
		{"disk full", dbError(data.KindFull), 503, "unavailable", true, ""},
		{"outcome unknown", dbError(data.KindUnknown), 503, "outcome-unknown", false, ""},
		{"outcome unknown, unclassified", data.ErrOutcomeUnknown, 503, "outcome-unknown", false, ""},
		{"constraint", dbError(data.KindConstraint), 500, "internal", false, ""},
		{"breaker", fmt.Errorf("%w: %w", &resilience.Error{Policy: inner, Kind: resilience.ErrOpen}, waiting{}), 503, "unavailable", true, ""},
		{"bulkhead", fmt.Errorf("%w: %w", resilience.ErrRejected, waiting{}), 503, "unavailable", true, "2"},
		{"policy timeout", &resilience.Error{Policy: inner, Kind: resilience.ErrTimeout}, 504, "timeout", false, ""},
		{"deadline", fmt.Errorf("%s: %w", inner, context.DeadlineExceeded), 504, "timeout", false, ""},
		{"cancelled within", fmt.Errorf("%s: %w", inner, context.Canceled), 503, "unavailable", true, ""},
		{"problem", fmt.Errorf("%s: %w", inner, service.NewProblem(410, "It is gone.")), 410, "status-410", false, ""},
		{"problem with a cause", service.NewProblem(409, "Taken.").WithCause(errors.New(inner)), 409, "conflict", false, ""},
		{"problem that is none", &service.Problem{Status: 200, Detail: "Fine."}, 500, "internal", false, ""},
		{"too many", &service.Problem{Status: 429, RetryAfter: 1}, 429, "rate-limited", true, "1"},
		{"mapped", fmt.Errorf("%s: %w", inner, own), 422, "not-valid", false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, service.Config{MapError: func(err error) *service.Problem {
				if errors.Is(err, own) {
					return service.NewProblem(http.StatusUnprocessableEntity, "The pet is out of stock.")
				}
				return nil
			}}, service.Deps{})
			f.handle(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/not/any/more")
				service.WriteError(w, r, c.err)
			})
			w := f.do(t, http.MethodPost, "/x", "")
			p := problem(t, w, c.status)
			assert.Equal(t, "urn:problem-type:mmf:"+c.word, p["type"])
			assert.Equal(t, c.retryable, p["retryable"])
			assert.Equal(t, c.retryAfter, w.Header().Get("Retry-After"))
			assert.Empty(t, w.Header().Get("Location"))
			for _, leak := range []string{"goroutine", "pq:", "SQLSTATE", "/home", ".go:", "db.internal", "127.0.0.1"} {
				assert.NotContains(t, w.Body.String(), leak)
			}
			assert.Contains(t, f.log.String(), `"error_type":"`+c.word+`"`)
			if strings.Contains(c.err.Error(), "SQLSTATE") {
				assert.Contains(t, f.log.String(), "SQLSTATE", "the log keeps what the caller is not told")
			}
		})
	}
}

func TestTimeoutsAreRetryableWhereRepeatingIsSafe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(w http.ResponseWriter, r *http.Request) { service.WriteError(w, r, context.DeadlineExceeded) })
	assert.Equal(t, true, problem(t, f.do(t, http.MethodGet, "/x", ""), 504)["retryable"])
	assert.Equal(t, false, problem(t, f.do(t, http.MethodPost, "/x", ""), 504)["retryable"])
	assert.Equal(t, true, problem(t, f.do(t, http.MethodPost, "/x", "", "Idempotency-Key", "k"), 504)["retryable"])
}

func TestCallerWhoWentAwayIsNotAFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	ctx, cancel := context.WithCancel(t.Context())
	f.handle(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		service.WriteError(w, r, r.Context().Err())
	})
	f.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/x", nil).WithContext(ctx))
	assert.Contains(t, f.metrics(t), `http_response_status_code="499"`)
	assert.NotContains(t, f.log.String(), `"level":"error"`)
}

func TestPanicsAnswerWithAProblemAndStayInTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(http.ResponseWriter, *http.Request) { panic(inner + " password=hunter22") })
	w := f.do(t, http.MethodGet, "/x", "")
	problem(t, w, 500)
	for _, leak := range []string{"goroutine", "pq:", "SQLSTATE", ".go:", "hunter22"} {
		assert.NotContains(t, w.Body.String(), leak)
	}
	assert.Contains(t, f.log.String(), `"msg":"panic"`)
	assert.Contains(t, f.log.String(), "problem_test.go", "the stack leads to the place")
	assert.NotContains(t, f.log.String(), "hunter22")
	assert.Contains(t, f.log.String(), `"error_type":"panic"`)
}

func TestPanicAfterTheReplyBeganCutsTheConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic("boom")
	})
	server := httptest.NewServer(f.Handler())
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/x")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, "half", string(body))
	require.NoError(t, resp.Body.Close())
}

func TestErrorAfterTheReplyBeganOnlyReachesTheLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	f.handle(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		service.WriteError(w, r, errors.New("cursor broke"))
	})
	w := f.do(t, http.MethodGet, "/x", "")
	assert.Equal(t, "half", w.Body.String())
	assert.Contains(t, f.log.String(), "cursor broke")
}

func TestHostilePathsStayInsideTheProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.Path = "/<script>\"\r\nSet-Cookie: x" + strings.Repeat("a", 9000)
	w := httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	p := problem(t, w, 404)
	assert.Len(t, p["instance"], 256)
	assert.NotContains(t, w.Body.String(), "<script>")
}

func TestProblemAsAnError(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	p := service.Invalid("quantity", "must be positive").WithCause(cause)
	require.ErrorIs(t, p, cause)
	assert.Equal(t, "422 Unprocessable Entity: The request was understood but is not valid. (quantity: must be positive): cause", p.Error())
}
