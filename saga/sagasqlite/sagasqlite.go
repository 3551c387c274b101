// Package sagasqlite keeps sagas in SQLite: the same tables and guarantees as on PostgreSQL, in one file, for development,
// for tests and for services on a single machine.
//
//	db, err := datasqlite.Open(ctx, datasqlite.Config{Path: "orders.db"})
//	store, err := sagasqlite.New(ctx, db)
//	engine, err := saga.New(saga.Config{}, store, PlaceOrder(shop))
//
// SQLite has one writer. A transactional step holds it while it runs, so it must be short, must not call the network and
// must not start sagas otherwise than with StartTx. Time is this machine's time; several processes may share the file.
package sagasqlite

import (
	"context"
	"embed"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// New creates or upgrades the tables and returns a store. The database must be SQLite; its owner closes it. A database
// that a newer version of MMF has migrated is refused with a [*github.com/marty-framework/mmf/data/migrate.NewerError].
func New(ctx context.Context, db data.DB) (saga.Store, error) {
	store, err := sqlstore.Open(ctx, db, data.SQLite, migrations)
	if err != nil {
		return nil, fmt.Errorf("sagasqlite: %w", err)
	}
	return store, nil
}
