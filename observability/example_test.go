package observability_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/marty-framework/mmf/observability"
)

// lineWriter prints a few fields of each log line, so that the examples' output has no times in it.
type lineWriter struct{}

func (lineWriter) Write(p []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	var parts []string
	for _, key := range []string{"level", "msg", "correlation_id", "principal", "route", "status", "password"} {
		if v, ok := line[key]; ok {
			parts = append(parts, fmt.Sprintf("%s=%v", key, v))
		}
	}
	fmt.Println(strings.Join(parts, " "))
	return len(p), nil
}

// Every line written with a request's context carries the request's ids, and the access line has the route's template.
func Example() {
	tel, err := observability.New(observability.Config{Service: "catalog", LogWriter: lineWriter{}})
	if err != nil {
		panic(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()

	mux := http.NewServeMux()
	mux.Handle("GET /pets/{id}", observability.Route("GET /pets/{id}", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := observability.WithPrincipal(r.Context(), "alice")
		tel.Log(ctx).Info("pet found", zap.String("password", "hunter22"))
	})))
	r := httptest.NewRequest(http.MethodGet, "/pets/7", nil)
	r.Header.Set("X-Correlation-ID", "order-1")
	tel.Middleware(mux).ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// level=info msg=pet found correlation_id=order-1 principal=alice password=[redacted]
	// level=info msg=request correlation_id=order-1 principal=alice route=/pets/{id} status=200
}

// Do is a span, a duration and an error in one call.
func ExampleDo() {
	tel, err := observability.New(observability.Config{Service: "catalog", DisableRuntimeMetrics: true})
	if err != nil {
		panic(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()

	ctx := context.Background()
	_ = observability.Do(ctx, tel, "reserve", func(context.Context) error { return nil })
	err = observability.Do(ctx, tel, "reserve", func(context.Context) error { return errors.New("sold out") })
	fmt.Println(err)

	w := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "mmf_operation_duration_seconds_count") {
			fmt.Print(line)
		}
	}
	// Output:
	// sold out
	// mmf_operation_duration_seconds_count{operation="reserve",outcome="error"} 1
	// mmf_operation_duration_seconds_count{operation="reserve",outcome="ok"} 1
}

// Checks are asked in the background; the handlers answer from what is known.
func ExampleHealth() {
	asked := make(chan struct{})
	health, err := observability.NewHealth(observability.Check{
		Name:  "orders-db",
		Probe: func(context.Context) error { defer close(asked); return nil },
	})
	if err != nil {
		panic(err)
	}
	show := func() {
		w := httptest.NewRecorder()
		health.ReadinessHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		fmt.Print(w.Code, " ", w.Body.String())
	}
	show()

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- health.Run(ctx) }()
	<-asked
	for !health.Ready() { // the answer is noted a moment after it was given
		time.Sleep(time.Millisecond)
	}
	show()

	health.SetDraining(true)
	show()
	cancel()
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output:
	// 503 {"status":"starting","checks":[{"name":"orders-db","status":"pending","critical":true}]}
	// 200 {"status":"ready","checks":[{"name":"orders-db","status":"up","critical":true}]}
	// 503 {"status":"draining","checks":[{"name":"orders-db","status":"up","critical":true}]}
}

// A service's own logger for libraries that want log/slog.
func ExampleTelemetry_Slog() {
	tel, err := observability.New(observability.Config{Service: "catalog", LogWriter: lineWriter{}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()
	ctx := observability.WithCorrelationID(context.Background(), "order-1")
	tel.Slog().WarnContext(ctx, "slow query", "password", "hunter22")
	// Output:
	// level=warn msg=slow query correlation_id=order-1 password=[redacted]
}
