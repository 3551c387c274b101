// Package outbox makes "the business change was committed" and "its event is published" one fact: events are written in
// the caller's transaction, and a relay hands them to a broker afterwards.
//
//	box, err := outbox.New(outbox.Config{Source: "petstore/order"})
//	err = migrate.Up(ctx, db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName})
//	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
//		// … the change itself …
//		return box.Write(ctx, tx, data.Event{Topic: "orders", Key: order.ID, Type: "petstore.order.created.v1", Data: order})
//	})
//
//	relay, err := outbox.NewRelay(outbox.RelayConfig{}, box, db, publisher)
//	err = relay.Run(ctx) // in a goroutine of its own, in as many processes as you like
//
// # What it promises
//
// At least once: an event whose transaction committed is published, or parked with a reason when the broker refuses it
// for good; an event whose transaction rolled back never is. Consumers see repetitions, under the same id, after a crash
// or a change of relays; package inbox turns them into one effect.
//
// Order per topic and key: the first copies of a key's events arrive in the order in which their transactions committed,
// whatever crashes, and with several relays. For that a transaction that writes an event holds a lock of its key until it
// ends (an advisory lock on Postgres), so write the event where you already hold the aggregate's row. Two transactions
// that take keys and rows in opposite order deadlock; [data.DB.InTx] runs the victim again.
//
// A failing event blocks its own key only: later events of the key wait until it is published, or until somebody
// releases or discards the parked event ([Outbox.Release], [Outbox.Discard]). Other keys go on.
//
// # How it works
//
// A relay never remembers a position: numbers are given out at INSERT and become visible at COMMIT, in another order, so
// "everything above the last number" loses events. It claims what is not marked as sent, hands it to the publisher, and
// marks it only after the broker's acknowledgement. One relay at a time works, by a lease that counts in database time
// and whose epoch is checked in the transaction that marks. A relay that was stopped while it published can therefore
// repeat events that its successor published too, never overtake them.
//
// What it does not do: publish in the caller's transaction, order across keys, and transactions of the broker.
package outbox
