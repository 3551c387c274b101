// Package delivery is the delivery service: it gives each order a slot of a day and takes it back when the order is
// cancelled.
package delivery

import (
	"context"
	"errors"

	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/adapters"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/api"
	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/app"
	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// Build adds delivery to a service: tables, routes, the commands of the order saga.
func Build(ctx context.Context, s *platform.Service) error {
	if err := s.Migrate(ctx, Migrations()); err != nil {
		return err
	}
	live := s.Platform.Config
	deliveries, err := app.New(app.Config{
		Topic: platform.TopicDeliveryEvents, Capacity: func() int { return live.Get().Delivery.SlotsPerDay },
		Full: platform.Ask(s.Flags.NoSlots),
	}, adapters.SQL{}, s.Outbox)
	if err != nil {
		return err
	}
	return errors.Join(
		s.Shell.Handle(api.Routes(s.DB, adapters.SQL{})...),
		s.Participate(ctx, platform.TopicDeliveryCommands, adapters.ScheduleDelivery(deliveries)),
	)
}
