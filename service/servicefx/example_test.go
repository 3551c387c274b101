package servicefx_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/observability/observabilityfx"
	"github.com/marty-framework/mmf/security"
	"github.com/marty-framework/mmf/service"
	"github.com/marty-framework/mmf/service/servicefx"
)

// Pet is what the example's route answers with.
type Pet struct {
	Name string `json:"name"`
}

func petRoutes(tel *observability.Telemetry) []service.Route {
	return []service.Route{{
		Pattern: "GET /pets", Operation: "list-pets", Policy: security.Public(),
		Handler: service.JSON(func(ctx context.Context, _ struct{}) ([]Pet, error) {
			tel.Log(ctx).Info("listing pets")
			return []Pet{{Name: "Buddy"}}, nil
		}),
	}}
}

// A whole application: routes come from constructors, and StopTimeout makes room for the drain.
func Example() {
	var svc *service.Service
	app := fx.New(fx.NopLogger,
		servicefx.StopTimeout(30*time.Second),
		servicefx.Module, observabilityfx.Module,
		fx.Supply(
			service.Config{Name: "catalog", Addr: "127.0.0.1:0", Drain: service.DrainBudget{Linger: -1}},
			observability.Config{Service: "catalog", LogWriter: io.Discard},
		),
		fx.Provide(servicefx.AsRoutes(petRoutes)),
		fx.Populate(&svc),
	)
	ctx := context.Background()
	fmt.Println("start:", app.Start(ctx))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + svc.Addr() + "/pets")
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	fmt.Print(resp.Status, " ", string(body))
	fmt.Println("stop:", app.Stop(ctx))
	// Output:
	// start: <nil>
	// 200 OK [{"name":"Buddy"}]
	// stop: <nil>
}
