// Package sagapg keeps sagas in PostgreSQL, in tables of the service's own database, so that a step's effect and its record
// can commit together.
//
//	db, err := datapg.Open(ctx, datapg.Config{DSN: dsn})
//	store, err := sagapg.New(ctx, db)
//	engine, err := saga.New(saga.Config{}, store, PlaceOrder(shop))
//
// Beside the pool of db a process that runs an engine opens up to six connections of its own, on which it beats, writes
// and listens, so that steps that use the whole pool cannot starve it. Through a pooler in transaction mode nothing is heard
// from other processes; the engine notices and polls.
//
// The journal is insert-only, and partitioned by the time of a saga's start; [saga.Retention] drops what is old. Leases use
// the database's clock, so clocks of nodes may differ. Any number of processes may
// share the database; each owns a share of the sagas. What it does not do: replicate. With asynchronous replication a
// promoted standby may lack acknowledged records; steps then run again under the same keys.
package sagapg

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

// New creates or upgrades the tables and returns a store. The database must be PostgreSQL; its owner closes it. A database
// that a newer version of MMF has migrated is refused with a [*github.com/marty-framework/mmf/data/migrate.NewerError].
func New(ctx context.Context, db data.DB) (saga.Store, error) {
	store, err := sqlstore.Open(ctx, db, data.Postgres, migrations)
	if err != nil {
		return nil, fmt.Errorf("sagapg: %w", err)
	}
	return sqlstore.Callable(store), nil
}
