package platform

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/outbox"
	"github.com/marty-framework/mmf/observability"
	"github.com/marty-framework/mmf/service"
)

func (s *Service) kafkaConfig() kafka.Config {
	return kafka.Config{
		Brokers: s.Settings.Kafka.Brokers, ClientID: "petstore-" + s.Name, Prefix: s.Settings.Kafka.Prefix,
	}
}

// openKafka makes the client, the topics and the relay that empties the outbox into them.
func (s *Service) openKafka(ctx context.Context) error {
	client, err := kafka.NewClient(s.kafkaConfig())
	if err != nil {
		return err
	}
	s.Kafka = client
	s.OnClose("kafka", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return client.Close(ctx)
	})
	topics := make([]kafka.Topic, 0, len(Topics()))
	for _, name := range Topics() {
		topics = append(topics, kafka.Topic{Name: name, Partitions: s.Settings.Kafka.Partitions, DLQ: true})
	}
	if err := client.EnsureTopics(ctx, topics...); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	// Optional: without brokers orders are still accepted and their events wait in the outbox.
	if err := s.Shell.Health().Add(observability.Check{Name: "kafka", Probe: client.Ping, Optional: true}); err != nil {
		return err
	}
	relay, err := outbox.NewRelay(outbox.RelayConfig{Lease: s.Settings.Saga.TTL, Hooks: outbox.Hooks{
		Failed: func(ctx context.Context, ev data.Event, attempt int, parked bool, err error) {
			s.Telemetry.Log(ctx).Warn("event not published", zap.String("event_type", ev.Type), zap.String("event_id", ev.ID),
				zap.Int("attempt", attempt), zap.Bool("parked", parked), zap.Error(err))
		},
		Error: s.failed("outbox relay"),
	}}, s.Outbox, s.DB, client)
	if err != nil {
		return err
	}
	return s.Shell.Add(service.Component{Name: "outbox relay", Run: relay.Run})
}

// Consume handles the records of a topic, in the consumer group "<service>.<what>". Each (service, what) sees every record once,
// however many processes there are.
func (s *Service) Consume(what, topic string, handler kafka.Handler) error {
	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
		Config: s.kafkaConfig(), Group: "petstore." + s.Name + "." + what, Topics: []string{topic}, SessionTimeout: s.Settings.Kafka.SessionTimeout,
		Lanes: 8, DrainTimeout: 2 * time.Second, FirstBackoff: 50 * time.Millisecond, MaxBackoff: 2 * time.Second,
		Extract: s.Telemetry.Extract,
		Hooks: kafka.Hooks{
			Handled: func(ctx context.Context, h kafka.Handling) {
				if h.Outcome == kafka.OutcomeRetry || h.Outcome == kafka.OutcomeDLQ {
					s.Telemetry.Log(ctx).Warn("record not handled", zap.String("topic", h.Event.Topic), zap.String("event_type", h.Event.Type),
						zap.String("event_id", h.Event.ID), zap.String("outcome", string(h.Outcome)), zap.Error(h.Err))
				}
			},
			Failed: func(group string, err error) {
				s.Telemetry.Logger().Warn("consumer", zap.String("group", group), zap.Error(err))
			},
		},
	}, handler)
	if err != nil {
		return err
	}
	return s.Shell.Add(service.Component{Name: "consumer " + what, Run: consumer.Run, Phase: service.StopIngress})
}

// EventHandler is the effect of one event: everything it changes, it changes in tx.
type EventHandler func(ctx context.Context, tx data.Tx, ev data.Event) error

// Subscribe consumes a topic's events with the inbox in front of the handlers: each event has its effect once, in one
// transaction with the note that it had it. Types without a handler are passed over.
func (s *Service) Subscribe(what, topic string, handlers map[string]EventHandler) error {
	return s.Consume(what, topic, kafka.Events(func(ctx context.Context, ev data.Event) error {
		handle, ok := handlers[ev.Type]
		if !ok {
			return nil
		}
		first, err := s.Inbox.Once(ctx, s.DB, what, ev.ID, func(ctx context.Context, tx data.Tx) error { return handle(ctx, tx, ev) })
		if err == nil && !first {
			return kafka.ErrDuplicate
		}
		return err
	}))
}
