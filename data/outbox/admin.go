package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
)

// ErrNotParked is returned by [Outbox.Release] and [Outbox.Discard] for an id that is not parked.
var ErrNotParked = errors.New("outbox: no parked event has this id")

// Stats is a snapshot of what is not published.
type Stats struct {
	// Pending counts events that wait, for whatever reason; Oldest is the age of the oldest of them by the database's
	// clock, zero when there is none.
	Pending int64
	Oldest  time.Duration
	// Parked counts events that the broker refused for good.
	Parked int64
}

// Stats reads a snapshot. Its cost grows with the number of unpublished events, not with that of sent ones.
func (o *Outbox) Stats(ctx context.Context, q data.Querier) (Stats, error) {
	var s Stats
	var oldest int64
	err := q.QueryRow(ctx, "select count(*), coalesce("+now(q.Dialect())+" - min(written_at), 0) from mmf_outbox where state in (0, 3)").
		Scan(&s.Pending, &oldest)
	if err == nil {
		err = q.QueryRow(ctx, "select count(*) from mmf_outbox where state = 2").Scan(&s.Parked)
	}
	if err != nil {
		return Stats{}, fmt.Errorf("outbox: stats: %w", err)
	}
	s.Oldest = time.Duration(max(0, oldest)) * time.Microsecond
	return s, nil
}

// Parked is an event that the broker refused for good. Later events of its topic and key wait for what becomes of it.
type Parked struct {
	ID, Topic, Key, Type, Reason string
	Written                      time.Time
	Attempts                     int
}

// Parked lists parked events, the oldest first, at most limit.
func (o *Outbox) Parked(ctx context.Context, q data.Querier, limit int) (list []Parked, err error) {
	rows, err := q.Query(ctx, `select id, topic, msg_key, type, coalesce(reason, ''), written_at, attempts
		from mmf_outbox where state = 2 order by seq limit $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox: list parked events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p Parked
		var written int64
		if err := rows.Scan(&p.ID, &p.Topic, &p.Key, &p.Type, &p.Reason, &written, &p.Attempts); err != nil {
			return nil, fmt.Errorf("outbox: list parked events: %w", err)
		}
		p.Written = time.UnixMicro(written).UTC()
		list = append(list, p)
	}
	return list, rows.Err()
}

// Release sends a parked event again, before the later ones of its key: after the broker's limits were raised, say.
func (o *Outbox) Release(ctx context.Context, q data.Querier, id string) error {
	return o.unpark(ctx, q, id, "update mmf_outbox set state = 0, attempts = 0, retry_at = 0, reason = null where id = $1 and state = 2")
}

// Discard drops a parked event for good and lets the later ones of its key go on.
func (o *Outbox) Discard(ctx context.Context, q data.Querier, id string) error {
	return o.unpark(ctx, q, id, "delete from mmf_outbox where id = $1 and state = 2")
}

func (o *Outbox) unpark(ctx context.Context, q data.Querier, id, sql string) error {
	n, err := q.Exec(ctx, sql, id)
	if err != nil {
		return fmt.Errorf("outbox: parked event %q: %w", id, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %q", ErrNotParked, id)
	}
	o.Nudge()
	return nil
}
