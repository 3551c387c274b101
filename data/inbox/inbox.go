// Package inbox makes an event that is delivered several times have one effect: the note that a consumer has handled it
// and the effect itself are committed in one transaction.
//
//	box, err := inbox.New(inbox.Config{})
//	err = migrate.Up(ctx, db, inbox.Migrations(), migrate.Config{Name: inbox.MigrationsName})
//
//	first, err := box.Once(ctx, db, "delivery", event.ID, func(ctx context.Context, tx data.Tx) error {
//		_, err := tx.Exec(ctx, "insert into deliveries (order_id) values ($1)", event.Subject)
//		return err
//	})
//
// What it promises: for each consumer and event id exactly one transaction with an effect commits, however often and
// however concurrently the event is delivered, and whatever crashes. A handler that failed leaves no note, so the next
// delivery runs it again. After [data.ErrOutcomeUnknown] deliver the event again: the note, or its absence, tells.
//
// What it does not do: undo effects outside the database (a mail that was sent by a transaction that then rolled back),
// and remember for ever: see [Config.Retention].
package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
)

// maxID bounds consumer names and event ids, in bytes.
const maxID = data.MaxAttribute

// Config of an [Inbox]. The zero value is a sensible default.
type Config struct {
	// Retention is how long handled events are remembered. It must exceed the time after which the last repetition can
	// arrive: the retention of the topic, if somebody may rewind it. Default 30 days, at least 1 min; negative: forever.
	Retention time.Duration
	// PurgeEvery is how often [Inbox.Run] deletes what is older. Default 1 h.
	PurgeEvery time.Duration
	// Failed is told about a purge that failed; the next one is tried as usual. Optional.
	Failed func(ctx context.Context, err error)
}

// Inbox remembers handled events; make one with [New]. It is safe for concurrent use.
type Inbox struct{ cfg Config }

// New makes an inbox.
func New(cfg Config) (*Inbox, error) {
	if cfg.Retention == 0 {
		cfg.Retention = 30 * 24 * time.Hour
	}
	if cfg.PurgeEvery == 0 {
		cfg.PurgeEvery = time.Hour
	}
	var errs []error
	if cfg.Retention > 0 && cfg.Retention < time.Minute {
		errs = append(errs, fmt.Errorf("Config.Retention is %s: it must be at least 1m", cfg.Retention))
	}
	if cfg.PurgeEvery < 0 {
		errs = append(errs, fmt.Errorf("Config.PurgeEvery is %s: it must be positive", cfg.PurgeEvery))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("inbox: invalid configuration: %w", err)
	}
	return &Inbox{cfg: cfg}, nil
}

// Once runs fn in a transaction unless the consumer has handled the event before. first says that fn's transaction
// committed; a repetition is (false, nil). While another delivery of the same event is being handled, Once waits for its
// outcome. As with [data.DB.InTx], fn may run again after a conflict, and must use the tx that it is given.
func (i *Inbox) Once(
	ctx context.Context, db data.DB, consumer, eventID string, fn func(ctx context.Context, tx data.Tx) error,
) (first bool, err error) {
	err = db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		var err error
		if first, err = i.OnceTx(ctx, tx, consumer, eventID); err != nil || !first {
			return err
		}
		return fn(ctx, tx)
	})
	if err != nil {
		return false, err
	}
	return first, nil
}

// OnceTx notes the event in the caller's transaction: first says that it had not been handled, so the caller goes on with
// the effect in tx; otherwise it leaves the effect out. While another transaction handles the same event, OnceTx waits for
// its end.
func (i *Inbox) OnceTx(ctx context.Context, tx data.Tx, consumer, eventID string) (first bool, err error) {
	for name, value := range map[string]string{"consumer": consumer, "event id": eventID} {
		if value == "" || len(value) > maxID {
			return false, fmt.Errorf("inbox: the %s has %d bytes: it must have 1 to %d", name, len(value), maxID)
		}
	}
	n, err := tx.Exec(ctx, "insert into mmf_inbox (consumer, event_id) values ($1, $2) on conflict do nothing", consumer, eventID)
	if err != nil {
		return false, fmt.Errorf("inbox: note event %q for %q: %w", eventID, consumer, err)
	}
	return n == 1, nil
}
