package sagafx_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagafx"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

type greeting struct{ Name, Text string }

func greet() *saga.Def[greeting] {
	return saga.Define("greet", 1, saga.Step("say", func(_ saga.Ctx, g greeting) (string, error) { return "hello " + g.Name, nil }).
		Into(func(g *greeting, text string) { g.Text = text }))
}

func openDB(lc fx.Lifecycle) (data.DB, error) {
	db, err := datasqlite.Open(context.Background(), datasqlite.Config{Path: datasqlite.Memory})
	if err == nil {
		lc.Append(fx.StopHook(db.Close))
	}
	return db, err
}

func openStore(db data.DB) (saga.Store, error) { return sagasqlite.New(context.Background(), db) }

func options() fx.Option {
	return fx.Options(fx.NopLogger, fx.Provide(openDB, openStore), sagafx.Definition[greeting](greet), sagafx.Module)
}

func TestValidates(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(options()))
}

func TestStartUseStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	var engine *saga.Engine
	var def *saga.Def[greeting]
	app := fxtest.New(t, options(), fx.Populate(&engine, &def))
	app.RequireStart()
	run, err := def.Start(t.Context(), engine, "g1", greeting{Name: "ann"})
	require.NoError(t, err)
	out, err := run.Result(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello ann", out.Text)
	app.RequireStop()
}

// An application that says nothing about telemetry has it all the same, where it collects it.
func TestNeverMute(t *testing.T) {
	t.Parallel()
	var lines strings.Builder // of one saga, so of one goroutine
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	var engine *saga.Engine
	var def *saga.Def[greeting]
	app := fxtest.New(t, options(), fx.Populate(&engine, &def), fx.Provide(
		func() *slog.Logger {
			return slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
		},
		func() trace.TracerProvider { return sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)) },
		func() metric.MeterProvider { return sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)) },
	))
	app.RequireStart()
	run, err := def.Start(t.Context(), engine, "g1", greeting{Name: "ann"})
	require.NoError(t, err)
	_, err = run.Result(t.Context())
	require.NoError(t, err)
	var got metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &got))
	app.RequireStop()
	require.Contains(t, lines.String(), `msg="saga finished" saga=greet saga_id=g1 outcome=completed`)
	require.Contains(t, lines.String(), "step=say")
	var names []string
	for _, m := range got.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
	}
	require.Contains(t, names, "mmf.saga.inflight")
	require.Contains(t, names, "mmf.saga.step.duration")
	require.Len(t, spans.GetSpans(), 3)
}

func Example() {
	var engine *saga.Engine
	var def *saga.Def[greeting]
	app := fx.New(options(), fx.Populate(&engine, &def))
	ctx := context.Background()
	if err := app.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	run, err := def.Start(ctx, engine, "g1", greeting{Name: "bob"})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := run.Result(ctx)
	fmt.Println(out.Text, err, app.Stop(ctx))
	// Output: hello bob <nil> <nil>
}
