package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
)

const (
	waitLong = 10 * time.Second // until an event that comes; never waited for in full
	waitTick = time.Millisecond
)

// running is a service that serves on real listeners.
type running struct {
	fixture
	stop   context.CancelFunc
	ended  chan error
	client *http.Client
}

func run(t *testing.T, f fixture) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	require.NoError(t, f.Listen(ctx))
	transport := &http.Transport{}
	r := &running{fixture: f, stop: stop, ended: make(chan error, 1), client: &http.Client{Transport: transport}}
	go func() { r.ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		transport.CloseIdleConnections()
	})
	return r
}

func (r *running) get(t *testing.T, addr, path string) (int, string) {
	t.Helper()
	got := r.fetch(addr, path)
	require.NoError(t, got.err)
	return got.code, got.body
}

type fetched struct {
	code int
	body string
	err  error
}

// fetch is get for other goroutines than the test's own.
func (r *running) fetch(addr, path string) fetched {
	resp, err := r.client.Get("http://" + addr + path)
	if err != nil {
		return fetched{err: err}
	}
	body, err := io.ReadAll(resp.Body)
	return fetched{code: resp.StatusCode, body: string(body), err: errors.Join(err, resp.Body.Close())}
}

func wait(t *testing.T, ch <-chan error) error {
	t.Helper()
	select {
	case err := <-ch:
		return err
	case <-time.After(waitLong):
		require.FailNow(t, "it did not end")
		return nil
	}
}

// journal notes the order of events.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) note(e string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) component(name string, phase service.Phase) service.Component {
	return service.Component{
		Name: name, Phase: phase,
		Run: func(ctx context.Context) error {
			<-ctx.Done()
			j.note(name + " ran")
			return ctx.Err()
		},
		Stop: func(context.Context) error {
			j.note(name + " stopped")
			return nil
		},
	}
}

func TestDrainLetsWhatWasBegunFinishAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{Drain: service.DrainBudget{Linger: 200 * time.Millisecond}}, service.Deps{})
	var j journal
	entered, release := make(chan struct{}), make(chan struct{})
	f.handle(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		j.note("request finished")
		_, _ = io.WriteString(w, "done")
	})
	require.NoError(t, f.Add(j.component("relay", service.FinishWork), j.component("pool", service.CloseClients),
		j.component("consumer", service.StopIngress), j.component("cache", service.CloseClients)))
	r := run(t, f)
	reply := make(chan fetched, 1)
	go func() { reply <- r.fetch(r.Addr(), "/x") }()
	<-entered
	code, _ := r.get(t, r.Addr(), "/readyz")
	require.Equal(t, 200, code)

	r.stop()
	// Not ready comes first, while the listener still takes connections.
	require.Eventually(t, func() bool {
		code, body := r.get(t, r.Addr(), "/readyz")
		return code == 503 && strings.Contains(body, "draining")
	}, waitLong, waitTick)
	code, _ = r.get(t, r.Addr(), "/healthz")
	assert.Equal(t, 200, code, "a draining service is alive")
	// Then the listener closes, with the request still in flight.
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", r.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, waitLong, waitTick)
	select {
	case <-reply:
		require.Fail(t, "the request was cut")
	case err := <-r.ended:
		require.Fail(t, "Run did not wait for the request", "%v", err)
	default:
	}
	code, _ = r.get(t, r.AdminAddr(), "/readyz")
	assert.Equal(t, 503, code, "the admin listener is still there to look at")
	close(release)
	assert.Equal(t, fetched{code: 200, body: "done"}, <-reply)
	require.NoError(t, wait(t, r.ended))

	at := func(e string) int {
		for i, got := range j.events {
			if got == e {
				return i
			}
		}
		require.Fail(t, "it did not happen", "%q in %v", e, j.events)
		return -1
	}
	assert.Less(t, at("consumer stopped"), at("relay ran"))
	assert.Less(t, at("request finished"), at("relay ran"))
	assert.Less(t, at("relay stopped"), at("pool ran"))
	assert.Less(t, at("cache ran"), at("pool stopped"), "all Run functions of a phase end before the first Stop")
	assert.Less(t, at("cache stopped"), at("pool stopped"), "in the reverse order of adding")
	_, err := net.Dial("tcp", r.AdminAddr())
	require.Error(t, err)
}

func TestReportTellsEveryPhase(t *testing.T) {
	t.Parallel()
	var reported service.Report
	f := newFixture(t, service.Config{OnReport: func(r service.Report) { reported = r }}, service.Deps{})
	require.NoError(t, f.Add(service.Component{Name: "db", Phase: service.CloseClients, Stop: func(context.Context) error {
		return errors.New("three connections are still in use")
	}}))
	r := run(t, f)
	r.stop()
	require.ErrorContains(t, wait(t, r.ended), `component "db": stop: three connections`)
	text := reported.String()
	assert.Equal(t, text, r.Report().String())
	for _, want := range []string{
		"shop drained in", "asked to end", "not ready", "stop ingress", "http", "finish work", "flush telemetry", "close clients",
		"three connections",
	} {
		assert.Contains(t, text, want)
	}
	assert.Contains(t, f.log.String(), `"msg":"drained"`)
	require.ErrorContains(t, f.Run(t.Context()), "Run can be called once")
}

func TestFailingComponentsEndTheService(t *testing.T) {
	t.Parallel()
	broken := errors.New("the broker refused the password")
	for name, component := range map[string]struct {
		run  func(context.Context) error
		want string
	}{
		"error": {func(context.Context) error { return broken }, `component "relay": the broker refused`},
		"panic": {func(context.Context) error { panic("boom") }, `component "relay": it panicked`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, service.Config{}, service.Deps{})
			var j journal
			require.NoError(t, f.Add(j.component("other", service.FinishWork), service.Component{Name: "relay", Run: component.run}))
			r := run(t, f)
			err := wait(t, r.ended)
			require.ErrorContains(t, err, component.want)
			assert.Equal(t, 1, strings.Count(err.Error(), "relay"), "said once: %v", err)
			assert.Equal(t, []string{"other ran", "other stopped"}, j.events)
		})
	}
	t.Run("done early is no failure", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t, service.Config{}, service.Deps{})
		f.handle(t, func(http.ResponseWriter, *http.Request) {})
		done := make(chan struct{})
		require.NoError(t, f.Add(service.Component{Name: "warm-up", Run: func(context.Context) error { close(done); return nil }}))
		r := run(t, f)
		<-done
		code, _ := r.get(t, r.Addr(), "/x")
		assert.Equal(t, 200, code)
		r.stop()
		require.NoError(t, wait(t, r.ended))
	})
}

func TestWhatDoesNotEndIsLeftBehindAndNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{Drain: service.DrainBudget{
		Ingress: 20 * time.Millisecond, Work: 20 * time.Millisecond, Close: 100 * time.Millisecond,
	}}, service.Deps{})
	entered, canceled, release := make(chan struct{}), make(chan error, 1), make(chan struct{})
	f.handle(t, func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
		service.WriteError(w, r, r.Context().Err())
		canceled <- context.Cause(r.Context())
	})
	left := make(chan struct{}, 2)
	require.NoError(t, f.Add(
		service.Component{Name: "deaf", Run: func(context.Context) error { <-release; left <- struct{}{}; return nil }},
		service.Component{Name: "stuck", Stop: func(context.Context) error { <-release; left <- struct{}{}; return nil }},
	))
	r := run(t, f)
	reply := make(chan fetched, 1)
	go func() { reply <- r.fetch(r.Addr(), "/x") }()
	<-entered
	r.stop()
	err := wait(t, r.ended)
	for _, want := range []string{
		"requests did not finish within the budget and were cancelled", `component "deaf" did not stop within its phase`,
		`component "stuck": Stop did not return within its phase`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, <-canceled, "the drain's budget")
	assert.Equal(t, http.StatusServiceUnavailable, (<-reply).code, "the request was told to try again")
	close(release)
	<-left
	<-left
}

func TestRequestsThatIgnoreTheirContextAreCut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{Drain: service.DrainBudget{Ingress: 10 * time.Millisecond}}, service.Deps{})
	entered, release, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f.handle(t, func(http.ResponseWriter, *http.Request) {
		defer close(left)
		close(entered)
		<-release
	})
	r := run(t, f)
	failed := make(chan error, 1)
	go func() {
		resp, err := r.client.Get("http://" + r.Addr() + "/x")
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	<-entered
	r.stop()
	require.ErrorContains(t, wait(t, r.ended), "and were cut")
	require.Error(t, <-failed)
	close(release)
	<-left
}

func TestOccupiedPortsAreNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	public := newFixture(t, service.Config{Addr: l.Addr().String(), AdminAddr: "127.0.0.1:0"}, service.Deps{})
	err = public.Run(t.Context())
	require.ErrorContains(t, err, "port "+port+" is in use by another process")
	require.ErrorContains(t, err, "set Addr to another port")
	admin := newFixture(t, service.Config{AdminAddr: l.Addr().String()}, service.Deps{})
	require.ErrorContains(t, admin.Run(t.Context()), "set AdminAddr to another port")
	_, err = net.Dial("tcp", admin.Addr())
	require.Error(t, err, "the public listener was left open")
}

func TestAdminPortIsThePublicOnePlusAThousand(t *testing.T) {
	t.Parallel()
	svc, err := service.New(service.Config{Name: "x", Addr: "0.0.0.0:8082"}, service.Deps{})
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:9082", svc.AdminAddr())
	assert.Equal(t, "0.0.0.0:8082", svc.Addr())
}

func TestListenersThatNeverRanCanBeClosed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	require.NoError(t, f.Close(), "nothing to close yet")
	require.NoError(t, f.Listen(t.Context()))
	require.NoError(t, f.Listen(t.Context()), "again changes nothing")
	require.NoError(t, f.Close())
	for _, addr := range []string{f.Addr(), f.AdminAddr()} {
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
	}
	require.Error(t, f.Run(t.Context()))
}

func TestRunRefusesWhatWasRefusedAfterListen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	require.NoError(t, f.Listen(t.Context()))
	require.Error(t, f.Handle(service.Route{Pattern: "GET /x", Operation: "x", Handler: http.NotFoundHandler()}))
	require.ErrorContains(t, f.Run(t.Context()), "it has no policy")
	for _, addr := range []string{f.Addr(), f.AdminAddr()} {
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
	}
}

func TestComponentsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{}, service.Deps{})
	ok := func(context.Context) error { return nil }
	err := f.Add(service.Component{Run: ok}, service.Component{Name: "idle"}, service.Component{Name: "odd", Run: ok, Phase: 9},
		service.Component{Name: "a", Run: ok}, service.Component{Name: "a", Run: ok})
	for _, want := range []string{`"": it has no name`, `"idle": it has neither Run nor Stop`, `"odd": its phase 9`, `"a": there is another`} {
		require.ErrorContains(t, err, want)
	}
	require.ErrorContains(t, f.Run(t.Context()), "it has neither Run nor Stop")
}

func TestTelemetryIsFlushedBeforeClientsAreClosed(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	tel, err := observability.New(observability.Config{Service: "x", LogWriter: io.Discard, SpanExporters: []sdktrace.SpanExporter{exporter}})
	require.NoError(t, err)
	svc, err := service.New(service.Config{Name: "x", Addr: "127.0.0.1:0", Drain: service.DrainBudget{Linger: -1}}, service.Deps{Telemetry: tel})
	require.NoError(t, err)
	exported := -1
	require.NoError(t, svc.Add(service.Component{Name: "db", Phase: service.CloseClients, Stop: func(context.Context) error {
		exported = len(exporter.GetSpans())
		return nil
	}}))
	require.NoError(t, svc.Handle(service.Route{Pattern: "GET /x", Operation: "x", Policy: security.Public(), Handler: http.NotFoundHandler()}))
	r := run(t, fixture{Service: svc})
	r.get(t, svc.Addr(), "/x")
	r.stop()
	require.NoError(t, wait(t, r.ended))
	assert.Equal(t, 1, exported)
	require.NoError(t, tel.Shutdown(t.Context()), "a telemetry that was given is its owner's to end")
}

func TestDrainBudgetAddsUp(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 27*time.Second, service.DrainBudget{}.Total())
	short := service.DrainBudget{Linger: -1, Ingress: time.Second, Work: time.Second, Flush: time.Second, Close: time.Second}
	assert.Equal(t, 4*time.Second, short.Total())
}

func TestARouteMayTakeLongerThanTheServersTimeouts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, service.Config{ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond}, service.Deps{})
	for operation, timeout := range map[string]time.Duration{"bounded": time.Minute, "stream": service.NoTimeout} {
		require.NoError(t, f.Handle(service.Route{
			Pattern: "POST /" + operation, Operation: operation, Policy: security.Public(), Timeout: timeout,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					service.WriteError(w, r, err)
					return
				}
				_, _ = w.Write(body)
			}),
		}))
	}
	r := run(t, f)
	for _, path := range []string{"/bounded", "/stream"} {
		body, slow := io.Pipe()
		go func() {
			_, _ = io.WriteString(slow, "half ")
			time.Sleep(200 * time.Millisecond) // four times the server's timeouts; a slow machine only makes it longer
			_, _ = io.WriteString(slow, "whole")
			_ = slow.Close()
		}()
		resp, err := r.client.Post("http://"+r.Addr()+path, "text/plain", body)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, "half whole", string(got))
	}
	r.stop()
	require.NoError(t, wait(t, r.ended))
}
