// Package catalog is the service that owns the pets: it shows them, keeps one for an order, lets it go, and marks it sold when the
// order is approved.
package catalog

import (
	"context"
	"errors"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// Build adds the catalog to a service: tables, routes, the commands of the order saga, and what it learns from order events.
func Build(ctx context.Context, s *platform.Service) error {
	if err := s.Migrate(ctx, Migrations()); err != nil {
		return err
	}
	pets := adapters.SQL{}
	catalog := app.New(pets, s.Outbox.Write)
	return errors.Join(
		s.Shell.Handle(api.Routes(s.DB, pets, platform.Ask(s.Flags.PremiumFilters))...),
		s.Participate(ctx, platform.TopicCatalogCommands, sagakafka.On(platform.CommandReservePet,
			func(c saga.Ctx, tx data.Tx, cmd platform.ReservePet) (platform.PetReserved, error) {
				reserved, err := catalog.Reserve(c, tx, cmd)
				if errors.Is(err, domain.ErrTaken) || errors.Is(err, domain.ErrUnknown) {
					return reserved, saga.Reject("%v", err) // final: asking again would not help
				}
				return reserved, err
			},
			func(c saga.Ctx, tx data.Tx, cmd platform.ReservePet, _ platform.PetReserved) error {
				return catalog.Release(c, tx, cmd.OrderID)
			},
		)),
		s.Subscribe("order-events", platform.TopicOrderEvents, map[string]platform.EventHandler{
			platform.EventOrderApproved: func(ctx context.Context, tx data.Tx, ev data.Event) error {
				order, err := platform.Decode[platform.OrderEvent](ev)
				if err != nil {
					return err
				}
				return catalog.Sell(ctx, tx, order.OrderID)
			},
		}),
	)
}
