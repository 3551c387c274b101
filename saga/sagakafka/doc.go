// Package sagakafka lets another service carry out a step of a saga: the caller sends a command and awaits the reply, the
// participant does the work behind a barrier that makes it happen once, or never.
//
// The caller declares the step and hands replies to its engine:
//
//	caller, err := sagakafka.NewCaller(sagakafka.CallerConfig{ReplyTopic: "order.replies", Write: box.Write})
//	authorise := sagakafka.Call("authorise-payment", caller.To("payment.commands", "payment.authorise.v1"),
//		func(o Order) Authorise { return Authorise{Order: o.ID, Cents: o.Cents} },
//		func(o *Order, p Payment) { o.Payment = p })
//	def := saga.Define("place-order", 1, create, authorise, …)
//	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{…, Topics: []string{"order.replies"}}, kafka.Events(caller.Replies(engine)))
//
// The participant declares what it does with its own database, in the shape of a saga's transactional step:
//
//	err = migrate.Up(ctx, db, sagakafka.Migrations(), migrate.Config{Name: sagakafka.MigrationsName})
//	payment, err := sagakafka.NewParticipant(sagakafka.ParticipantConfig{Name: "payment", Write: box.Write}, db,
//		sagakafka.On("payment.authorise.v1", service.Authorise, service.Void)) // func(saga.Ctx, data.Tx, Authorise) (Payment, error), …
//	consumer, err := kafka.NewConsumer(kafka.ConsumerConfig{…, Topics: []string{"payment.commands"}}, kafka.Events(payment.Handle))
//
// # What is promised
//
// The command is written to the caller's outbox in the transaction that records its dispatch; the participant's note, its effect
// and the reply are one transaction of its own database. So, with the barrier's key being the saga's step:
//
//   - The effect happens at most once, however often the command arrives. A repetition gets the stored reply.
//   - A compensation undoes the effect at most once, and only an effect that is there. When there is none, because the command was
//     refused or never came, it succeeds and does nothing.
//   - A command that arrives after its compensation is refused and has no effect.
//   - A refusal ([saga.Reject]) has no effect and is final for the step.
//
// A caller that gets no reply in time sends the command again under the same key, within the step's retry budget; then the
// outcome is unknown and the step is compensated. A handler that fails in any other way is repeated by the consumer, and its command
// ends in the dead-letter topic, unanswered, when that does not help.
//
// # What it does not do
//
// The barrier protects what is written with the handler's data.Tx and nothing else: pass [saga.Ctx.Key] to an outside system that a
// handler calls, and keep such calls short. The participant answers to the topic that the command names: who may write commands
// must be settled by the brokers' permissions. Package sagakafka is free of a Kafka client: it takes and makes [data.Event] values.
package sagakafka
