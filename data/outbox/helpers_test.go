package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/migrate"
	"github.com/marty-framework/mmf/data/outbox"
)

// engines runs a test on every engine, with the outbox's tables in place.
func engines(t *testing.T, test func(t *testing.T, db data.DB)) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, migrated(t, open(t)))
		})
	}
}

func migrated(t *testing.T, db data.DB) data.DB {
	t.Helper()
	require.NoError(t, migrate.Up(t.Context(), db, outbox.Migrations(), migrate.Config{Name: outbox.MigrationsName}))
	return db
}

func newBox(t *testing.T) *outbox.Outbox {
	t.Helper()
	box, err := outbox.New(outbox.Config{Source: "test"})
	require.NoError(t, err)
	return box
}

func newRelay(t *testing.T, cfg outbox.RelayConfig, box *outbox.Outbox, db data.DB, p outbox.Publisher) *outbox.Relay {
	t.Helper()
	if cfg.Hooks.Error == nil {
		cfg.Hooks.Error = func(_ context.Context, err error) { t.Errorf("relay: %v", err) }
	}
	if cfg.RetryMin == 0 {
		cfg.RetryMin, cfg.RetryMax = time.Millisecond, 2*time.Millisecond
	}
	relay, err := outbox.NewRelay(cfg, box, db, p)
	require.NoError(t, err)
	return relay
}

// event number n of a key; n is its payload.
func event(key string, n int) data.Event {
	return data.Event{ID: fmt.Sprintf("%s-%d", key, n), Topic: "orders", Key: key, Type: "test.numbered.v1", Data: n}
}

func write(t *testing.T, box *outbox.Outbox, db data.DB, events ...data.Event) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error { return box.Write(ctx, tx, events...) }))
}

// drain steps until nothing more goes through.
func drain(t *testing.T, s stepper) {
	t.Helper()
	for {
		worked, err := s.Step(t.Context())
		require.NoError(t, err)
		if !worked {
			return
		}
	}
}

type stepper interface {
	Step(ctx context.Context) (worked bool, err error)
}

// broker is a Publisher that remembers what it acknowledged. It keeps order as the contract demands.
type broker struct {
	mu  sync.Mutex
	log []outbox.Record
	// refuse decides about each record; called without a lock.
	refuse func(outbox.Record) error
	// arrived gets each acknowledged record, when it is not nil.
	arrived chan outbox.Record
}

func (b *broker) Publish(ctx context.Context, records []outbox.Record) []error {
	answers := make([]error, len(records))
	failed := map[string]bool{}
	for i, r := range records {
		lane := r.Topic + "/" + r.Key
		switch {
		case ctx.Err() != nil:
			answers[i] = ctx.Err()
		case failed[lane]:
			answers[i] = fmt.Errorf("held back")
		case b.refuse != nil:
			answers[i] = b.refuse(r)
		}
		if answers[i] != nil {
			failed[lane] = true
			continue
		}
		b.mu.Lock()
		b.log = append(b.log, r)
		b.mu.Unlock()
		if b.arrived != nil {
			b.arrived <- r
		}
	}
	return answers
}

// ids lists acknowledged events in order, repetitions included.
func (b *broker) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]string, len(b.log))
	for i, r := range b.log {
		ids[i] = r.ID
	}
	return ids
}

// firsts lists each key's payloads in the order of their first arrival.
func (b *broker) firsts(t *testing.T) map[string][]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen, out := map[string]bool{}, map[string][]int{}
	for _, r := range b.log {
		if seen[r.ID] {
			continue
		}
		seen[r.ID] = true
		var n int
		require.NoError(t, json.Unmarshal(r.Data.(json.RawMessage), &n))
		out[r.Key] = append(out[r.Key], n)
	}
	return out
}
