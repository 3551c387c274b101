package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
)

// purgeBatch bounds one deletion, so that it holds no lock for long.
const purgeBatch = 1000

// Purge forgets events that were handled longer than [Config.Retention] ago, by the database's clock, and returns how
// many. It deletes in small transactions; after an error the count says how many are gone already.
func (i *Inbox) Purge(ctx context.Context, db data.DB) (deleted int64, err error) {
	if i.cfg.Retention < 0 {
		return 0, nil
	}
	clock := "cast(unixepoch('subsec') * 1000000 as integer)"
	if db.Dialect() == data.Postgres {
		clock = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
	}
	for {
		n, err := db.Exec(ctx, `delete from mmf_inbox where (consumer, event_id) in (
			select consumer, event_id from mmf_inbox where handled_at < `+clock+` - $1 order by handled_at limit $2)`,
			i.cfg.Retention.Microseconds(), purgeBatch)
		if err != nil {
			return deleted, fmt.Errorf("inbox: purge: %w", err)
		}
		if deleted += n; n < purgeBatch {
			return deleted, nil
		}
	}
}

// Run purges now and every [Config.PurgeEvery] until ctx ends; it returns nil.
func (i *Inbox) Run(ctx context.Context, db data.DB) error {
	ticker := time.NewTicker(i.cfg.PurgeEvery)
	defer ticker.Stop()
	for {
		if _, err := i.Purge(ctx, db); err != nil && ctx.Err() == nil && i.cfg.Failed != nil {
			i.cfg.Failed(ctx, err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
