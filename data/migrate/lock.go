package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// sessionLock is a Postgres advisory lock on the connection that migrates: when that connection is lost, so is the
// lock, and never the one without the other.
type sessionLock struct {
	name string
	wait time.Duration
}

// id spreads the names over the numbers that advisory locks have; a chance collision only makes two sets wait for each
// other.
func (l sessionLock) id() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("mmf/migrate/" + l.name))
	return int64(h.Sum64())
}

// SessionLock asks repeatedly instead of waiting inside the server: a waiting statement would hold a snapshot, which
// makes CREATE INDEX CONCURRENTLY of the migrator that has the lock wait for us while we wait for it.
func (l sessionLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, "select pg_try_advisory_lock($1)", l.id()).Scan(&got); err != nil {
			return fmt.Errorf("the lock of migrator %q: %w", l.name, err)
		}
		if got {
			return nil
		}
		timer := time.NewTimer(50*time.Millisecond + rand.N(100*time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("another migrator of %q has held the lock for %s: %w", l.name, l.wait, ctx.Err())
		}
	}
}

// SessionUnlock gives the lock back.
func (l sessionLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var had bool
	if err := conn.QueryRowContext(ctx, "select pg_advisory_unlock($1)", l.id()).Scan(&had); err != nil {
		return fmt.Errorf("unlock migrator %q: %w", l.name, err)
	}
	if !had {
		return errors.New("the lock of migrator " + l.name + " was lost while it worked: look at the version before going on")
	}
	return nil
}
