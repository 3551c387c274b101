// Package payment is the payment service: it charges customers through the gateway, keeps a double-entry ledger, and gives
// money back.
package payment

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datasqlite"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/payment/gateway"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga/sagakafka"
	"github.com/marty-framework/mmf/service"
)

// Build adds payment to a service: tables, the gateway, the commands of the order saga, routes.
func Build(ctx context.Context, s *platform.Service) error {
	if err := s.Migrate(ctx, Migrations()); err != nil {
		return err
	}
	if err := migrate.Up(ctx, s.DB, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}); err != nil {
		return err
	}
	url, key := s.Settings.Payment.GatewayURL, s.Settings.Payment.GatewayKey.Reveal()
	if url == "" {
		var err error
		if url, key, err = simulate(ctx, s); err != nil {
			return err
		}
	}
	charges, err := s.HTTPClient("payment_gateway")
	if err != nil {
		return err
	}
	refunds, err := s.HTTPClient("payment_refunds")
	if err != nil {
		return err
	}
	client := adapters.NewGateway(url, key, charges, refunds)
	payments := app.New(s.DB, client, adapters.SQL{}, s.Outbox, platform.TopicPaymentEvents)
	commands, err := adapters.NewCommands(payments, s.DB, s.Outbox.Write, func(ctx context.Context, h sagakafka.Handled) {
		s.Telemetry.Log(ctx).Info("command", zap.String("command", h.Command), zap.String("saga_id", h.SagaID),
			zap.String("direction", string(h.Direction)), zap.String("outcome", h.Outcome), zap.Duration("took", h.Duration))
	})
	if err != nil {
		return err
	}
	return errors.Join(
		s.Shell.Handle(api.Routes(s.DB, adapters.SQL{}, client)...),
		s.Consume("commands", platform.TopicPaymentCommands, commands.Handle),
	)
}

// simulate starts the gateway's simulator: another company, reached over HTTP only. On SQLite it has a file of its own; on Postgres,
// where payment may have several processes that must see one gateway, its table stands apart in payment's database.
func simulate(ctx context.Context, s *platform.Service) (url, key string, err error) {
	db := s.DB
	if db.Dialect() == data.SQLite {
		own, err := datasqlite.Open(ctx, datasqlite.Config{Path: filepath.Join(s.Settings.DB.Dir, "gateway.db")})
		if err != nil {
			return "", "", err
		}
		s.OnClose("gateway database", own.Close)
		db = own
	}
	key = rand.Text()
	g, err := gateway.New(gateway.Config{APIKey: key, Decline: platform.Ask(s.Flags.PaymentDecline)}, db)
	if err != nil {
		return "", "", err
	}
	if err := g.Migrate(ctx); err != nil {
		return "", "", err
	}
	if err := g.Listen(ctx); err != nil {
		return "", "", err
	}
	s.OnClose("gateway listener", g.Close)
	return g.URL(), key, s.Shell.Add(service.Component{Name: "gateway simulator", Run: g.Run, Phase: service.CloseClients})
}
