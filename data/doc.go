// Package data is the vocabulary in which services talk to their databases and to each other: transactions that look
// the same on every engine, classified errors, named sources, and events.
//
//	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: "pets.db"}) // or datapg.Open; box is an outbox.Outbox
//	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
//		n, err := tx.Exec(ctx, "update pets set owner = $1 where id = $2 and owner is null", buyer, pet)
//		if err != nil {
//			return err // rolls back
//		}
//		if n == 0 {
//			return ErrSold
//		}
//		return box.Write(ctx, tx, data.Event{Topic: "pets", Key: pet, Type: "pet.sold.v1", Data: sale})
//	})
//
// The drivers are data/datapg and data/datasqlite; code that uses this package compiles neither. Beside them live
// data/migrate, data/outbox, data/inbox and data/kafka, and data/datatest, whose suite every driver passes.
//
// # What a caller may rely on, with every engine
//
// A transaction whose function returned nil, and for which InTx returned nil, is durable. Any other end leaves nothing
// of it, with one exception that has a name: [ErrOutcomeUnknown], when the reply to COMMIT was lost. Never treat that as a
// failure: read back what was written, or repeat the work under the same keys.
//
// The first statement that fails dooms its transaction: later ones return its error, and InTx rolls back even when the
// function returns nil. (To try something that may fail, ask for it: insert … on conflict do nothing.) Rows must be read to
// the end or closed before the next statement of the same transaction. A database that is used with the context of its own
// open transaction returns [ErrNestedTx].
//
// InTx repeats its function after a serialization failure or a deadlock and for no other reason; what else is worth
// repeating, [Retryable] says. [KindOf] tells a violated unique key from a full disk.
//
// # What this package does not do
//
// It is no query builder and no mapper, and hides no differences between SQL dialects beyond placeholders; [Dialect] says
// which engine runs. What a driver can do beyond this, [Tx].Unwrap gives.
package data
