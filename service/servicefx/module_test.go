package servicefx_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/observability/observabilityfx"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
	"github.com/marty-framework/mmf/service/servicefx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(drain service.DrainBudget, more ...fx.Option) fx.Option {
	return fx.Options(append(more, fx.NopLogger, servicefx.Module, observabilityfx.Module,
		fx.Supply(
			service.Config{Name: "shop", Addr: "127.0.0.1:0", Drain: drain},
			observability.Config{Service: "shop", LogWriter: io.Discard},
		))...)
}

func routes() []service.Route {
	return []service.Route{{
		Pattern: "GET /pets", Operation: "list-pets", Policy: security.Public(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "Buddy") }),
	}}
}

func TestModuleIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(options(service.DrainBudget{}, servicefx.StopTimeout(time.Minute))))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	stopped := make(chan struct{})
	relay := func() service.Component {
		return service.Component{Name: "relay", Run: func(ctx context.Context) error {
			<-ctx.Done()
			close(stopped)
			return nil
		}}
	}
	var svc *service.Service
	app := fxtest.New(t, options(service.DrainBudget{Linger: -1}, servicefx.StopTimeout(time.Minute), fx.Populate(&svc),
		fx.Provide(servicefx.AsRoutes(routes), servicefx.AsComponent(relay))))
	app.RequireStart()
	resp, err := http.Get("http://" + svc.Addr() + "/pets")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "Buddy", string(body))
	app.RequireStop()
	<-stopped
	http.DefaultClient.CloseIdleConnections()
}

func TestRefusesAStopTimeoutThatIsTooShort(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]fx.Option{
		"stated": servicefx.StopTimeout(20 * time.Second), "fx's default": fx.Options(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := fx.New(options(service.DrainBudget{}, opt))
			require.ErrorContains(t, app.Err(), "add servicefx.StopTimeout(27s)")
		})
	}
	fits := fx.New(options(service.DrainBudget{Linger: -1, Ingress: time.Second, Work: time.Second, Flush: time.Second, Close: time.Second}))
	require.NoError(t, fits.Err())
}

func TestRefusedRouteFailsTheApplication(t *testing.T) {
	t.Parallel()
	open := func() []service.Route {
		return []service.Route{{Pattern: "GET /x", Operation: "open", Handler: http.NotFoundHandler()}}
	}
	app := fx.New(options(service.DrainBudget{}, servicefx.StopTimeout(time.Minute), fx.Provide(servicefx.AsRoutes(open))))
	require.ErrorContains(t, app.Err(), `route "GET /x" (operation "open"): it has no policy`)
}

func TestFailingComponentShutsTheApplicationDown(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	app := fx.New(options(service.DrainBudget{Linger: -1}, servicefx.StopTimeout(time.Minute),
		fx.Provide(servicefx.AsComponent(func() service.Component {
			return service.Component{Name: "relay", Run: func(context.Context) error { return broken }}
		}))))
	require.NoError(t, app.Start(t.Context()))
	assert.Equal(t, 1, (<-app.Wait()).ExitCode)
	require.ErrorIs(t, app.Stop(t.Context()), broken)
}
