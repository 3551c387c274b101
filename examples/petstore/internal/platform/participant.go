package platform

import (
	"context"

	"go.uber.org/zap"

	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/saga/sagakafka"
)

// Participate carries out other services' saga steps that arrive on a topic: each once, with its reply in the same transaction.
func (s *Service) Participate(ctx context.Context, topic string, commands ...sagakafka.Command) error {
	if err := migrate.Up(ctx, s.DB, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName}); err != nil {
		return err
	}
	participant, err := sagakafka.NewParticipant(sagakafka.ParticipantConfig{
		Name: s.Name, Write: s.Outbox.Write,
		Handled: func(ctx context.Context, h sagakafka.Handled) {
			s.Telemetry.Log(ctx).Info("command", zap.String("command", h.Command), zap.String("saga_id", h.SagaID),
				zap.String("direction", string(h.Direction)), zap.String("outcome", h.Outcome), zap.Duration("took", h.Duration))
		},
	}, s.DB, commands...)
	if err != nil {
		return err
	}
	return s.Consume("commands", topic, kafka.Events(participant.Handle))
}
