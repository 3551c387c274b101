package observability_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/observability"
)

// started runs h until the test ends.
func started(t *testing.T, h *observability.Health) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

func get(t *testing.T, h http.Handler) (int, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
	return w.Code, body
}

func TestHealthFollowsItsChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var db, cache atomic.Value
		probe := func(v *atomic.Value) func(context.Context) error {
			return func(context.Context) error {
				if err, ok := v.Load().(error); ok {
					if err.Error() != "" {
						return err
					}
				}
				return nil
			}
		}
		h, err := observability.NewHealth(
			observability.Check{Name: "db", Probe: probe(&db)},
			observability.Check{Name: "cache", Probe: probe(&cache), Optional: true},
		)
		require.NoError(t, err)
		code, body := get(t, h.ReadinessHandler())
		assert.Equal(t, 503, code)
		assert.Equal(t, "starting", body["status"])
		started(t, h)
		synctest.Wait()
		code, body = get(t, h.ReadinessHandler())
		assert.Equal(t, 200, code)
		assert.Equal(t, "ready", body["status"])

		cache.Store(errors.New("refused"))
		time.Sleep(6 * time.Second)
		code, body = get(t, h.ReadinessHandler())
		assert.Equal(t, 200, code, "an optional check does not take the service out")
		assert.Equal(t, "degraded", body["status"])

		db.Store(errors.New("dial postgres://app:hunter22@10.0.0.7/db: refused"))
		time.Sleep(6 * time.Second)
		code, body = get(t, h.ReadinessHandler())
		assert.Equal(t, 503, code)
		assert.Equal(t, "unavailable", body["status"])
		public, err := json.Marshal(body)
		require.NoError(t, err)
		assert.NotContains(t, string(public), "10.0.0.7", "the public answer names hosts")
		_, detail := get(t, h.DetailHandler())
		text := detail["checks"].([]any)[0].(map[string]any)["error"].(string)
		assert.Contains(t, text, "10.0.0.7")
		assert.NotContains(t, text, "hunter22")

		db.Store(errors.New(""))
		time.Sleep(6 * time.Second)
		assert.True(t, h.Ready())
		h.SetDraining(true)
		code, body = get(t, h.ReadinessHandler())
		assert.Equal(t, 503, code)
		assert.Equal(t, "draining", body["status"])
		code, _ = get(t, h.LivenessHandler())
		assert.Equal(t, 200, code, "a draining process is alive")
	})
}

func TestHealthSurvivesProbesThatHangOrPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var asked atomic.Int32
		h, err := observability.NewHealth(
			observability.Check{Name: "hangs", Timeout: time.Second, Probe: func(context.Context) error {
				asked.Add(1)
				<-release
				return nil
			}},
			observability.Check{Name: "panics", Probe: func(context.Context) error { panic("boom") }},
			observability.Check{Name: "obeys", Timeout: time.Second, Probe: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}},
		)
		require.NoError(t, err)
		started(t, h)
		time.Sleep(20 * time.Second)
		_, results := h.Status()
		for i, want := range []string{"did not answer within 1s", `"panics" panicked: boom`, "deadline exceeded"} {
			require.ErrorContains(t, results[i].Err, want)
		}
		assert.EqualValues(t, 1, asked.Load(), "a probe that hangs is not asked again")
		close(release)
		time.Sleep(6 * time.Second)
		_, results = h.Status()
		assert.Equal(t, observability.CheckUp, results[0].Status)
	})
}

func TestHealthTakesChecksWhileItRunsAndHasOneRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, err := observability.NewHealth()
		require.NoError(t, err)
		started(t, h)
		synctest.Wait()
		started(t, h)
		assert.True(t, h.Ready(), "without checks nothing speaks against it")
		var asked atomic.Int32
		require.NoError(t, h.Add(observability.Check{Name: "late", Interval: time.Second, Probe: func(context.Context) error {
			asked.Add(1)
			return nil
		}}))
		time.Sleep(2500 * time.Millisecond)
		assert.EqualValues(t, 3, asked.Load())
	})
}

func TestHealthNamesBadChecks(t *testing.T) {
	t.Parallel()
	ok := func(context.Context) error { return nil }
	_, err := observability.NewHealth(
		observability.Check{Probe: ok}, observability.Check{Name: "a"}, observability.Check{Name: "b", Probe: ok},
		observability.Check{Name: "b", Probe: ok}, observability.Check{Name: "c", Probe: ok, Timeout: -1},
	)
	for _, want := range []string{"has no name", `"a" has no probe`, `two checks named "b"`, `"c": Interval`} {
		require.ErrorContains(t, err, want)
	}
}

func TestHealthHandlersTakeOnlyReads(t *testing.T) {
	t.Parallel()
	h, err := observability.NewHealth()
	require.NoError(t, err)
	w := httptest.NewRecorder()
	h.ReadinessHandler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}
