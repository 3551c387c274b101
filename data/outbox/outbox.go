package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/correlation"
	"github.com/marty-framework/mmf/internal/uuidv7"
)

// Config of an [Outbox].
type Config struct {
	// Source is the CloudEvents source of events that name none, such as "petstore/order". Required.
	Source string
	// MaxBytes bounds an event's encoded Data. Larger ones are refused with [*TooLargeError] when they are written, where
	// somebody can still do something about it. Default 900 KiB, which fits Kafka's usual megabyte with headers.
	MaxBytes int
	// Inject writes the trace headers of the writing context, such as traceparent, into an event's headers. Optional.
	// Correlation ids are carried without it.
	Inject func(ctx context.Context, headers map[string]string)
}

// TooLargeError says that an event's encoded Data exceeds [Config.MaxBytes].
type TooLargeError struct {
	Type, Key  string
	Bytes, Max int
}

// Error says how much is too much.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("outbox: an event of type %q (key %q) has %d bytes, at most %d are allowed", e.Type, e.Key, e.Bytes, e.Max)
}

// Outbox writes events; make one with [New]. It is safe for concurrent use.
type Outbox struct {
	cfg Config
	// hint wakes this process's relay.
	hint chan struct{}
}

// New makes an outbox.
func New(cfg Config) (*Outbox, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 900 << 10
	}
	var errs []error
	if cfg.Source == "" {
		errs = append(errs, errors.New("Config.Source is empty: name the producing service"))
	}
	if cfg.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("Config.MaxBytes is %d: it must be positive", cfg.MaxBytes))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("outbox: invalid configuration: %w", err)
	}
	return &Outbox{cfg: cfg, hint: make(chan struct{}, 1)}, nil
}

// Write adds events to the caller's transaction. What they lack is filled in: ID (a new UUIDv7), Source, Time, and the
// headers correlation-id and causation-id from ctx. An event whose ID the outbox already holds is left out without an
// error, so that a transaction that is repeated under the same ids changes nothing.
//
// An invalid event is an error before anything is written. A failed statement is a [*data.Error] and dooms tx.
func (o *Outbox) Write(ctx context.Context, tx data.Tx, events ...data.Event) error {
	rows := make([]row, len(events))
	for i, ev := range events {
		var err error
		if rows[i], err = o.row(ctx, ev); err != nil {
			return err
		}
	}
	if tx.Dialect() == data.Postgres { // on SQLite there is one writer at a time anyway
		if err := lockLanes(ctx, tx, rows); err != nil {
			return err
		}
	}
	for _, r := range rows {
		args := []any{r.id, r.topic, r.key, r.kind, r.source, r.subject, r.happened.UnixMicro(), r.contentType, r.headers, r.body}
		if _, err := tx.Exec(ctx, insert, args...); err != nil {
			return fmt.Errorf("outbox: write event %s: %w", r.id, err)
		}
	}
	if len(rows) > 0 {
		o.Nudge()
	}
	return nil
}

// Nudge makes a relay of this process look for events soon. [Outbox.Write] does it; call it yourself after the commit
// when the transaction went on for long after writing.
func (o *Outbox) Nudge() {
	select {
	case o.hint <- struct{}{}:
	default: // one is already waiting
	}
}

const insert = `insert into mmf_outbox (id, topic, msg_key, type, source, subject, happened_at, content_type, headers, body)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (id) do nothing`

// row is an event as the table holds it.
type row struct {
	id, topic, key, kind, source, subject, contentType, headers string
	happened                                                    time.Time
	body                                                        []byte
}

func (o *Outbox) row(ctx context.Context, ev data.Event) (row, error) {
	headers := make(map[string]string, len(ev.Headers)+3)
	if o.cfg.Inject != nil {
		o.cfg.Inject(ctx, headers)
	}
	ids := correlation.From(ctx)
	for name, value := range map[string]string{correlation.Header: ids.Correlation, correlation.CausationHeader: ids.Causation} {
		if value != "" {
			headers[name] = value
		}
	}
	maps.Copy(headers, ev.Headers) // what the event itself says wins
	ev.Headers = headers
	if ev.ID == "" {
		ev.ID = uuidv7.New().String()
	}
	if ev.Source == "" {
		ev.Source = o.cfg.Source
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	if err := ev.Validate(); err != nil {
		return row{}, fmt.Errorf("outbox: %w", err)
	}
	body, contentType, err := ev.Payload()
	if err != nil {
		return row{}, fmt.Errorf("outbox: %w", err)
	}
	if len(body) > o.cfg.MaxBytes {
		return row{}, &TooLargeError{Type: ev.Type, Key: ev.Key, Bytes: len(body), Max: o.cfg.MaxBytes}
	}
	if body == nil {
		body = []byte{}
	}
	delete(headers, "content-type")
	encoded, err := json.Marshal(headers)
	if err != nil {
		return row{}, fmt.Errorf("outbox: encode headers: %w", err)
	}
	return row{
		id: ev.ID, topic: ev.Topic, key: ev.Key, kind: ev.Type, source: ev.Source, subject: ev.Subject,
		contentType: contentType, headers: string(encoded), happened: ev.Time, body: body,
	}, nil
}

// lockLanes makes transactions that write to the same topic and key commit one after the other, so that the numbers of
// one key are in the order of the commits. The locks are taken before any number is, in one order for everybody.
func lockLanes(ctx context.Context, tx data.Tx, rows []row) error {
	lanes := make([]int64, 0, len(rows))
	for _, r := range rows {
		lanes = append(lanes, lane(r.topic, r.key))
	}
	slices.Sort(lanes)
	lanes = slices.Compact(lanes)
	if len(lanes) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(lane) from unnest($1::bigint[]) as lane", lanes); err != nil {
		return fmt.Errorf("outbox: lock the keys of %d events: %w", len(rows), err)
	}
	return nil
}

// lane maps a topic and key to the number of its lock; two that share one by chance only wait for each other.
func lane(topic, key string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("mmf/outbox/" + topic + "\x00" + key))
	return int64(h.Sum64())
}
