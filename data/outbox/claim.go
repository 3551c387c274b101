package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
)

// now is the database's clock in microseconds: the only one that leases and pauses count in.
func now(d data.Dialect) string {
	if d == data.Postgres {
		return "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
	}
	return "cast(unixepoch('subsec') * 1000000 as integer)"
}

// among is a condition on seq with one argument, for a list of any length.
func among(d data.Dialect, placeholder string, seqs []int64) (condition string, arg any, err error) {
	if d == data.Postgres {
		return "seq = any(" + placeholder + ")", seqs, nil
	}
	list, err := json.Marshal(seqs)
	return "seq in (select value from json_each(" + placeholder + "))", string(list), err
}

// claimed is a row that this relay is about to publish.
type claimed struct {
	seq      int64
	attempts int
	age      time.Duration
	event    data.Event
}

// peek asks without writing whether there is anything to do, so that an idle relay costs one cheap read per poll.
func (r *Relay) peek(ctx context.Context) (bool, error) {
	var seq int64
	err := r.db.QueryRow(ctx, "select seq from mmf_outbox where state in (0, 3) and retry_at <= "+now(r.db.Dialect())+" limit 1").Scan(&seq)
	if errors.Is(err, data.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("outbox: look for events: %w", err)
	}
	return true, nil
}

// claim takes or renews the lease and reads the first events that are due, in the order of their numbers. It returns no
// events when another relay has the lease. An event behind a parked or pausing one of its key is not due.
func (r *Relay) claim(ctx context.Context) (epoch int64, batch []claimed, err error) {
	clock := now(r.db.Dialect())
	err = r.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		epoch, batch = 0, nil // the function may run again
		err := tx.QueryRow(ctx, `update mmf_outbox_relay
			set epoch = case when owner = $1 then epoch else epoch + 1 end, owner = $1, lease_until = `+clock+` + $2
			where name = 'relay' and (owner = $1 or lease_until < `+clock+`) returning epoch`,
			r.owner, r.cfg.Lease.Microseconds()).Scan(&epoch)
		if errors.Is(err, data.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update mmf_outbox set state = 0 where state = 3 and retry_at <= "+clock); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select seq, id, topic, msg_key, type, source, subject, happened_at, content_type, headers, body,
				attempts, `+clock+` - written_at
			from mmf_outbox o where state = 0 and not exists (
				select 1 from mmf_outbox b
				where b.topic = o.topic and b.msg_key = o.msg_key and b.seq < o.seq and b.state in (2, 3))
			order by seq limit $1`, r.cfg.Batch)
		if err != nil {
			return err
		}
		batch, err = scanClaimed(rows)
		return err
	})
	if err != nil {
		return 0, nil, fmt.Errorf("outbox: claim events: %w", err)
	}
	return epoch, batch, nil
}

// maxBatchBytes bounds the memory of a batch of large events; the first one always fits.
const maxBatchBytes = 8 << 20

func scanClaimed(rows data.Rows) (batch []claimed, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	bytes := 0
	for bytes < maxBatchBytes && rows.Next() {
		var (
			c                    claimed
			happened, age        int64
			contentType, headers string
			body                 []byte
		)
		e := &c.event
		if err := rows.Scan(&c.seq, &e.ID, &e.Topic, &e.Key, &e.Type, &e.Source, &e.Subject, &happened, &contentType, &headers, &body,
			&c.attempts, &age); err != nil {
			return nil, err
		}
		bytes += len(body)
		e.Time, c.age = time.UnixMicro(happened).UTC(), time.Duration(max(0, age))*time.Microsecond
		if err := json.Unmarshal([]byte(headers), &e.Headers); err != nil {
			return nil, fmt.Errorf("event %s has damaged headers: %w", e.ID, err)
		}
		switch contentType {
		case data.ContentTypeJSON:
			e.Data = json.RawMessage(body)
		case data.ContentTypeBinary:
			e.Data = body
		default:
			e.Data, e.Headers["content-type"] = body, contentType
		}
		batch = append(batch, c)
	}
	return batch, rows.Err()
}

// record marks what became of a batch, all or nothing and only while the lease's epoch is ours: fenced says that it was
// not. The fence extends the lease, so a slow publisher does not lose it before the next claim.
func (r *Relay) record(ctx context.Context, epoch int64, out outcome) (fenced bool, err error) {
	d := r.db.Dialect()
	clock := now(d)
	err = r.db.InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		n, err := tx.Exec(ctx, "update mmf_outbox_relay set lease_until = "+clock+" + $1 where name = 'relay' and owner = $2 and epoch = $3",
			r.cfg.Lease.Microseconds(), r.owner, epoch)
		if fenced = n == 0; err != nil || fenced {
			return err
		}
		if len(out.sent) > 0 {
			seqs := make([]int64, len(out.sent))
			for i, s := range out.sent {
				seqs[i] = s.seq
			}
			which, arg, err := among(d, "$1", seqs)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "update mmf_outbox set state = 1, attempts = attempts + 1, sent_at = "+clock+" where "+which, arg)
			if err != nil {
				return err
			}
		}
		for _, p := range out.parked {
			if _, err := tx.Exec(ctx, "update mmf_outbox set state = 2, attempts = attempts + 1, reason = $2 where seq = $1",
				p.seq, reason(p.err)); err != nil {
				return err
			}
		}
		for _, f := range out.failed {
			if _, err := tx.Exec(ctx, `update mmf_outbox set state = 3, attempts = attempts + 1, reason = $3,
				retry_at = `+clock+` + $2 where seq = $1`, f.seq, r.retryAfter(f.attempts).Microseconds(), reason(f.err)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("outbox: mark %d events as sent, %d as parked, %d as failed: %w",
			len(out.sent), len(out.parked), len(out.failed), err)
	}
	return fenced, nil
}

// reason fits an error into the table.
func reason(err error) string {
	text := []rune(err.Error())
	for i, c := range text {
		if c == 0 || c == '\uFFFD' {
			text[i] = '?'
		}
	}
	return string(text[:min(len(text), 1000)])
}

// release gives the lease back, so that a successor need not wait for its end.
func (r *Relay) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := r.db.Exec(ctx, "update mmf_outbox_relay set lease_until = 0 where name = 'relay' and owner = $1", r.owner); err != nil {
		r.report(ctx, fmt.Errorf("outbox: give the lease back: %w", err))
	}
}

// purgeBatch bounds one deletion, so that it holds no lock for long.
const purgeBatch = 1000

// purge deletes sent events that are older than Retention, some per minute, when there is nothing better to do.
func (r *Relay) purge(ctx context.Context) error {
	if r.cfg.Retention < 0 || time.Now().Before(r.purgeAt) {
		return nil
	}
	n, err := r.db.Exec(ctx, `delete from mmf_outbox where seq in (select seq from mmf_outbox
		where state = 1 and sent_at < `+now(r.db.Dialect())+` - $1 order by sent_at limit $2)`, r.cfg.Retention.Microseconds(), purgeBatch)
	if err != nil {
		return fmt.Errorf("outbox: delete old events: %w", err)
	}
	if n < purgeBatch { // otherwise go on at the next idle step
		r.purgeAt = time.Now().Add(time.Minute)
	}
	return nil
}
