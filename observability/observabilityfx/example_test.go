package observabilityfx_test

import (
	"context"
	"fmt"
	"io"

	"go.uber.org/fx"

	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/observability/observabilityfx"
)

// The module gives every constructor of the application its Telemetry, and ends it last.
func Example() {
	app := fx.New(fx.NopLogger,
		observabilityfx.Module,
		fx.Supply(observability.Config{Service: "catalog", LogWriter: io.Discard}),
		fx.Invoke(func(tel *observability.Telemetry, health *observability.Health) {
			fmt.Println(tel.Service(), health.Ready())
		}),
	)
	ctx := context.Background()
	fmt.Println("start:", app.Start(ctx))
	fmt.Println("stop:", app.Stop(ctx))
	// Output:
	// catalog true
	// start: <nil>
	// stop: <nil>
}
