package data

import "time"

// Event is a message between services in the vocabulary of CloudEvents 1.0. It travels in binary mode: attributes as
// headers, Data as the record's value. Outbox, Kafka publisher, consumer and saga share this one type.
type Event struct {
	// ID identifies the event for its consumers' inboxes: two deliveries with one ID are one event. Empty: a UUIDv7 is
	// made when the event is written to an outbox.
	ID string
	// Topic is the Kafka topic. Required.
	Topic string
	// Key orders: events of one key arrive in the order in which they were written. Required; use the aggregate's id.
	Key string
	// Type is the CloudEvents type, such as "petstore.order.created.v1". Required.
	Type string
	// Source is the CloudEvents source, the producing service. Empty: the outbox's own source.
	Source string
	// Subject is the CloudEvents subject. Optional.
	Subject string
	// Time is when it happened. Zero: the time of writing.
	Time time.Time
	// Data is the payload: []byte and json.RawMessage travel as they are, anything else is encoded as JSON.
	Data any
	// Headers are further record headers, such as traceparent. Attribute headers (ce_…) are not allowed here.
	Headers map[string]string
}
