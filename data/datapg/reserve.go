package datapg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/marty-framework/mmf/data"
)

// Reserve makes a pool of up to conns further connections to the same database, for work that must go on while every
// connection of this pool is taken: lease renewals, or a writer that others wait for. It connects when it is first used.
// Close of d closes it too; it may be closed before.
//
// Settings are the server's, such as statement_timeout, for these connections alone. A pool that the caller configured
// himself, see [New], keeps its own settings, because a pooler in between may refuse others.
func (d *DB) Reserve(conns int, settings map[string]string) (data.DB, error) {
	if conns < 1 {
		return nil, fmt.Errorf("datapg: reserve %d connections: at least 1", conns)
	}
	pc := d.pool.Config() // a copy, connection hooks included
	pc.MaxConns, pc.MinConns, pc.MinIdleConns = int32(conns), 0, 0
	if d.cfg.DSN != "" {
		maps.Copy(pc.ConnConfig.RuntimeParams, settings)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), pc) // does not connect; the context ends nothing later
	if err != nil {
		return nil, fmt.Errorf("datapg: reserve: %w", err)
	}
	cfg := d.cfg
	cfg.MaxConns = conns
	child := newDB(pool, cfg)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errors.Join(errors.New("datapg: reserve: the database is closed"), child.Close())
	}
	d.reserved = append(d.reserved, child)
	return child, nil
}

func (d *DB) closeReserved() error {
	d.mu.Lock()
	d.closed = true
	children := d.reserved
	d.mu.Unlock()
	var errs []error
	for _, c := range children {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Listen waits for notifications on a channel, whose name is quoted as an identifier, and returns when ctx ends or the
// connection is lost. It holds one connection. Ready is called when notifications of transactions that commit from then
// on arrive; what was sent before is not told, so look for it then. Heard is called with each payload, one after the
// other. Through a pooler in transaction mode nothing may ever be heard, without an error.
func (d *DB) Listen(ctx context.Context, channel string, ready func(), heard func(payload string)) error {
	c, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	conn := c.Hijack() // it listens; nobody else may get it
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye)
	}()
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return classify(ctx, err, conn.IsClosed(), false)
	}
	ready()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return classify(ctx, err, conn.IsClosed(), false)
		}
		heard(n.Payload)
	}
}
