// Package datapg runs [data.DB] on PostgreSQL through pgx's native interface and its connection pool.
//
//	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn})
//	if err != nil { … }
//	defer db.Close()
//	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
//		_, err := tx.Exec(ctx, "insert into orders (id, pet) values ($1, $2)", id, pet)
//		return err
//	})
//
// What pgx can and [data.Tx] does not (COPY, batches, LISTEN) is reached through [DB.Pool] and [data.Tx.Unwrap], which
// is a pgx.Tx.
//
// What it promises: [DB.InTx] runs the function again, after a random pause, when the server reports a serialization
// failure or a deadlock, and for no other reason. An error whose reply to COMMIT was lost matches
// [data.ErrOutcomeUnknown]; so does that of a writing statement outside a transaction whose connection died or whose
// context ended while it ran, because such a statement commits by itself. Every other error means that nothing was
// committed. Errors are classified by [data.KindOf] and never contain the DSN. Transactions that wait too long for a
// lock or that sit idle while open are ended by the server, so a stopped process cannot hold others back forever.
//
// What it does not do: retry after a lost connection (only the caller knows whether that is harmless; [data.Retryable]
// tells), read replicas, and pgbouncer in transaction mode, for which a pool has to be configured by hand, see [New].
package datapg
