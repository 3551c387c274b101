// Package kafka moves [data.Event] values through Kafka: a publisher for the outbox's relay, and a consumer runtime that
// never commits past a record that nobody handled.
//
// The smallest complete use:
//
//	client, err := kafka.NewClient(kafka.Config{Brokers: []string{"localhost:9092"}})
//	err = client.EnsureTopics(ctx, kafka.Topic{Name: "order.events", Partitions: 3, DLQ: true})
//	relay, err := outbox.NewRelay(outbox.RelayConfig{}, box, db, client) // client is the outbox's Publisher
//
//	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{
//		Config: kafka.Config{Brokers: []string{"localhost:9092"}},
//		Group:  "delivery",
//		Topics: []string{"order.events"},
//	}, kafka.Handle(func(ctx context.Context, o OrderCreated, ev kafka.Received) error { … }))
//	err = consumer.Run(ctx) // blocks until ctx ends, then drains, commits and leaves the group
//
// # What travels
//
// Events are CloudEvents 1.0 in binary mode: attributes as ce_… headers, the payload as the record's value, plus
// traceparent, correlation-id and causation-id. Decoding is strict; what does not decode goes to the dead-letter topic.
//
// # What is promised
//
// Publishing: one answer per message, in order per key. A message that comes after a failed one of its key is not sent,
// so a log never holds a key's later event before an earlier one that is still to come. Duplicates are possible after a lost
// answer; consumers drop them by event id.
//
// Consuming: at least once, in order per key. A record's effect happens once when the handler writes an inbox row in the
// effect's own transaction; nothing else gives that. An offset is committed only when every record before it was
// handled or was written to the dead-letter topic. A failing record is retried in place with growing pauses, and later
// records of its key wait. After [ConsumerConfig.MaxAttempts] it goes to "<topic>.dlq" with its original bytes and headers,
// and the key goes on; while the dead-letter topic cannot be written, the partition waits. Errors that blame the world rather
// than the record (see [Transient]) are retried without counting. Attempts are counted in memory: a record taken over by another
// process starts again at one.
//
// When partitions are taken away, handlers in flight get [ConsumerConfig.DrainTimeout] to finish, what they finished is
// committed, and only then the partitions are released. A handler that ignores its context beyond that may overlap with the
// next owner.
//
// # What this package does not do
//
// It makes no exactly-once promise by Kafka transactions, it creates no topic by itself, and it has no in-process
// shortcut: tests and the embedded mode use a broker in a box over loopback.
package kafka
