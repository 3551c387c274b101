// Package order is the service that takes orders and sees them through: it owns the orders, their events, and the saga that has
// the catalog, payment and delivery do their parts.
package order

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/order/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/saga/sagaotel"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagasqlite"
	"github.com/marty-framework/mmf/service"
)

// Build adds the order service: tables, the saga's engine, replies of the other services, routes.
func Build(ctx context.Context, s *platform.Service) error {
	if err := s.Migrate(ctx, Migrations()); err != nil {
		return err
	}
	live := s.Platform.Config
	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: platform.TopicSagaReplies, Write: s.Outbox.Write})
	if err != nil {
		return err
	}
	store := adapters.SQL{}
	steps := app.NewSteps(store, s.Outbox.Write, func() float64 { return live.Get().Pricing.TaxRate })
	def := PlaceOrder(steps, caller, s.Settings.Saga.StepTimeout)
	tel, err := sagaotel.New(sagaotel.Config{
		TracerProvider: s.Telemetry.TracerProvider(), MeterProvider: s.Telemetry.MeterProvider(), CensusEvery: time.Second,
	})
	if err != nil {
		return err
	}
	engine, err := newEngine(ctx, s, tel, def)
	if err != nil {
		return err
	}
	catalogURL, err := s.URL("catalog")
	if err != nil {
		return err
	}
	client, err := s.HTTPClient("services")
	if err != nil {
		return err
	}
	orders := &app.Orders{
		DB: s.DB, Store: store, Engine: engine, Saga: def,
		Catalog: adapters.Catalog{URL: catalogURL, Client: client},
		Paying:  platform.Ask(s.Flags.PaymentProcessing),
		MaxOpen: func() int { return live.Get().Limits.MaxOrdersPerCustomer },
	}
	return errors.Join(
		s.Shell.Handle(api.Routes(orders)...),
		s.Shell.Add(service.Component{Name: "saga engine", Run: run(tel, engine)}),
		s.Shell.Health().Add(observability.Check{Name: "saga engine", Probe: running(engine), Interval: 100 * time.Millisecond}),
		s.Consume("replies", platform.TopicSagaReplies, kafka.Events(caller.Replies(engine))),
	)
}

func newEngine(ctx context.Context, s *platform.Service, tel *sagaotel.Telemetry, def saga.Definition) (*saga.Engine, error) {
	open := sagasqlite.New
	if s.DB.Dialect() == data.Postgres {
		open = sagapg.New
	}
	store, err := open(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	orders, err := counted(s.Telemetry.Meter("petstore/order"))
	if err != nil {
		return nil, err
	}
	cfg := saga.Config{
		TTL: s.Settings.Saga.TTL, Grace: s.Settings.Drain.Work, TxConcurrency: 4,
		Publish: s.Outbox.Write, Inject: s.Telemetry.Inject, Extract: s.Telemetry.Extract,
		Hooks: saga.JoinHooks(saga.LogHooks(s.Telemetry.Slog()), orders),
	}
	cfg = tel.Instrument(cfg)
	if crash := s.Settings.Fault.Saga.CrashAfterStep; crash != "" {
		cfg.Hooks = saga.JoinHooks(cfg.Hooks, crashAfter(crash)) // last: the line about the step is still written
	}
	return saga.New(cfg, store, def)
}

// run works for sagas and shows in the metrics what is in flight.
func run(tel *sagaotel.Telemetry, engine *saga.Engine) func(context.Context) error {
	return func(ctx context.Context) error {
		stop, err := tel.Observe(engine)
		if err != nil {
			return err
		}
		return errors.Join(engine.Run(ctx), stop())
	}
}

// running is the readiness of an engine: without a lease it starts sagas but carries none out.
func running(engine *saga.Engine) func(context.Context) error {
	return func(context.Context) error {
		if !engine.Running() {
			return fmt.Errorf("the engine holds no lease yet")
		}
		return nil
	}
}
