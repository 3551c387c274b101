package kafka_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/kafka"
	"github.com/marty-framework/mmf/data/outbox"
)

type orderCreated struct {
	Total int `json:"total"`
}

// A service consumes what another one publishes. The broker here is one in a box; any other works the same.
func Example() {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fake.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	brokers := kafka.Config{Brokers: fake.ListenAddrs()}

	client, err := kafka.NewClient(brokers)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close(context.Background()) }()
	if err := client.EnsureTopics(ctx, kafka.Topic{Name: "order.events", Partitions: 3, DLQ: true}); err != nil {
		fmt.Println(err)
		return
	}

	// Services write events to an outbox, and its relay calls Publish.
	answers := client.Publish(ctx, []outbox.Record{{Event: data.Event{
		ID: "e-1", Topic: "order.events", Key: "order-7", Type: "order.created.v1", Source: "order", Data: orderCreated{Total: 4200},
	}}})
	if answers[0] != nil {
		fmt.Println(answers[0])
		return
	}

	consumer, err := kafka.NewConsumer(
		kafka.ConsumerConfig{Config: brokers, Group: "delivery", Topics: []string{"order.events"}},
		kafka.Handle(func(_ context.Context, o orderCreated, ev kafka.Received) error {
			fmt.Printf("%s of %s: %d\n", ev.Type, ev.Key, o.Total)
			stop()
			return nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(consumer.Run(ctx)) // until ctx ends; then it commits and leaves the group

	// Output:
	// order.created.v1 of order-7: 4200
	// <nil>
}
