// Package datasqlite runs [data.DB] on an embedded SQLite file, without cgo and without a server: the database of
// development, of tests and of small single-machine services.
//
//	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: "orders.db"})
//	if err != nil { … }
//	defer db.Close()
//	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
//		_, err := tx.Exec(ctx, "insert into orders (id, pet) values ($1, $2)", id, pet)
//		return err
//	})
//
// One connection writes, a few read: the file is in WAL mode, so readers never wait for the writer and see the last
// committed state. Writers queue in the process, in order of arrival, and stop waiting when their context ends; a
// transaction takes the write lock at its beginning (BEGIN IMMEDIATE), so it never fails half-way because somebody else
// wrote first. Time values are stored as integer microseconds since 1970.
//
// What it promises: a commit that returned nil is on disk (synchronous=FULL). A statement that failed dooms its
// transaction, as on Postgres: later statements return its error and [DB.InTx] rolls back even if its function returns
// nil. A file that is empty, truncated, damaged or no database at all is refused at [Open], never replaced. After a
// disk error during a commit the outcome is [data.ErrOutcomeUnknown] and the DB refuses further writes: whether the
// operating system kept the pages is not knowable, so the process has to open the file again.
//
// What it does not do: several machines on one file (network file systems break SQLite's locks), transactions that
// write in parallel, and [data.KindConflict]: with one writer there is nothing to conflict with. A second process may
// open the same file; the two wait for each other for at most [Config.BusyTimeout].
package datasqlite
