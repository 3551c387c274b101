package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/data/outbox"
)

func sqliteOnly(t *testing.T) data.DB { return migrated(t, datatest.SQLite(t)) }

// commitOrderRace: transaction A takes a lower number and stays open, B takes a higher one and commits, the relay runs,
// A commits (F-OBX-1). Only an engine with several writers has this race.
func commitOrderRace(t *testing.T, db data.DB, box *outbox.Outbox, b *broker, relay stepper) string {
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
		require.NoError(t, box.Write(ctx, tx, event("a", 1)))
		write(t, box, db, event("b", 1)) // the outer context: another transaction
		drain(t, relay)
		require.Equal(t, []string{"b-1"}, b.ids())
		return nil
	}))
	drain(t, relay)
	if len(b.firsts(t)["a"]) == 0 {
		return "lost: the event whose transaction committed later"
	}
	return ""
}

// brokerDown: every publication fails for a while.
func brokerDown(t *testing.T, db data.DB, box *outbox.Outbox, b *broker, relay stepper) string {
	down := true
	b.refuse = func(outbox.Record) error {
		if down {
			return errors.New("broker down")
		}
		return nil
	}
	write(t, box, db, event("a", 1), event("b", 1))
	drain(t, relay)
	down = false
	deadline := time.Now().Add(2 * time.Second) // pauses of failed keys are milliseconds here
	for time.Now().Before(deadline) && len(b.ids()) < 2 {
		drain(t, relay)
		time.Sleep(time.Millisecond)
	}
	if got := len(b.firsts(t)); got != 2 {
		return fmt.Sprintf("lost: %d of 2 events arrived after the broker came back", got)
	}
	return ""
}

func TestTheRelayKeepsItsPromises(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		require.Empty(t, brokerDown(t, db, box, b, newRelay(t, outbox.RelayConfig{}, box, db, b)))
		if db.Dialect() == data.Postgres {
			db, b := migrated(t, datatest.Postgres(t)), &broker{}
			require.Empty(t, commitOrderRace(t, db, box, b, newRelay(t, outbox.RelayConfig{}, box, db, b)))
		}
	})
}

// The scenarios have to be able to fail: two relays with the classical mistakes must be caught.
func TestTheScenariosCatchMutants(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		require.Contains(t, brokerDown(t, db, box, b, &markFirst{db: db, b: b}), "lost")
		if db.Dialect() == data.Postgres {
			db, b := migrated(t, datatest.Postgres(t)), &broker{}
			require.Contains(t, commitOrderRace(t, db, box, b, &cursor{db: db, b: b}), "lost")
		}
	})
}

// cursor is the mutant that goes on above the highest number it has seen.
type cursor struct {
	db   data.DB
	b    *broker
	last int64
}

func (m *cursor) Step(ctx context.Context) (bool, error) {
	records, seqs, err := naive(ctx, m.db, "seq > $1 and $1 >= 0", m.last)
	if err != nil || len(records) == 0 {
		return false, err
	}
	m.last = seqs[len(seqs)-1]
	m.b.Publish(ctx, records)
	return true, nil
}

// markFirst is the mutant that marks before the broker has acknowledged.
type markFirst struct {
	db data.DB
	b  *broker
}

func (m *markFirst) Step(ctx context.Context) (bool, error) {
	records, seqs, err := naive(ctx, m.db, "state = $1", 0)
	if err != nil || len(records) == 0 {
		return false, err
	}
	for _, seq := range seqs {
		if _, err := m.db.Exec(ctx, "update mmf_outbox set state = 1 where seq = $1", seq); err != nil {
			return false, err
		}
	}
	m.b.Publish(ctx, records)
	return true, nil
}

func naive(ctx context.Context, db data.DB, where string, arg int64) (records []outbox.Record, seqs []int64, err error) {
	rows, err := db.Query(ctx, "select seq, id, topic, msg_key, body from mmf_outbox where "+where+" order by seq", arg)
	if err != nil {
		return nil, nil, err
	}
	for rows.Next() {
		var r outbox.Record
		var seq int64
		var body []byte
		if err := rows.Scan(&seq, &r.ID, &r.Topic, &r.Key, &body); err != nil {
			return nil, nil, errors.Join(err, rows.Close())
		}
		r.Data = json.RawMessage(body)
		records, seqs = append(records, r), append(seqs, seq)
	}
	return records, seqs, rows.Close()
}

// Writers whose transactions stay open for random times, two relays with a short lease, and a broker that fails, stalls
// and loses acknowledgements: everything arrives, and first arrivals of a key are in the order of its commits.
func TestEverythingArrivesInOrderUnderFaults(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		const keys, writers, perWriter = 5, 6, 12
		box := newBox(t)
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		var mu sync.Mutex
		rng := rand.New(rand.NewPCG(seed, 1))
		chance := func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return rng.IntN(n) == 0
		}
		var calm atomic.Bool
		var faults atomic.Int32
		b := &broker{}
		flaky := publisherFunc(func(ctx context.Context, records []outbox.Record) []error {
			if !calm.Load() && chance(6) { // a zombie: longer than the lease, then it publishes after all
				faults.Add(1)
				time.Sleep(150 * time.Millisecond)
				ctx = context.WithoutCancel(ctx)
			}
			answers := b.Publish(ctx, records)
			for i := range answers {
				if !calm.Load() && answers[i] == nil && chance(15) { // published, and the acknowledgement is lost
					faults.Add(1)
					for ; i < len(answers); i++ {
						answers[i] = errors.New("timed out")
					}
					break
				}
			}
			return answers
		})
		var stops []func()
		for range 2 {
			stops = append(stops, run(t, newRelay(t, outbox.RelayConfig{
				Batch: 7, Poll: 5 * time.Millisecond, Lease: 100 * time.Millisecond, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond,
			}, box, db, flaky)))
		}
		_, err := db.Exec(t.Context(), "create table counters (name text primary key, n bigint not null)")
		require.NoError(t, err)
		for k := range keys {
			_, err := db.Exec(t.Context(), "insert into counters values ($1, 0)", fmt.Sprint("k", k))
			require.NoError(t, err)
		}
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range perWriter {
					key := fmt.Sprint("k", (w+i)%keys)
					err := db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
						// The counter's row is locked until the commit, so its numbers are in commit order.
						var n int
						if err := tx.QueryRow(ctx, "update counters set n = n + 1 where name = $1 returning n", key).Scan(&n); err != nil {
							return err
						}
						if err := box.Write(ctx, tx, event(key, n)); err != nil {
							return err
						}
						if chance(2) {
							time.Sleep(time.Duration(i) * time.Millisecond)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Eventually(t, func() bool { return faults.Load() > 0 }, 10*time.Second, time.Millisecond, "a run without a fault proves nothing")
		calm.Store(true)
		require.Eventually(t, func() bool {
			stats, err := box.Stats(t.Context(), db)
			return err == nil && stats.Pending == 0
		}, 30*time.Second, 5*time.Millisecond)
		for _, stop := range stops {
			stop()
		}
		total := 0
		for key, got := range b.firsts(t) {
			for i, n := range got {
				require.Equal(t, i+1, n, "key %s: %v", key, got)
			}
			total += len(got)
		}
		require.Equal(t, writers*perWriter, total)
	})
}

// Without locks of rows, the order of commits is that of the locks which Write takes itself.
func TestWritersOfOneKeyCommitInTheOrderOfTheirNumbers(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		if db.Dialect() != data.Postgres {
			t.Skip("one writer at a time: there is no other order")
		}
		box, b := newBox(t), &broker{}
		relay := newRelay(t, outbox.RelayConfig{}, box, db, b)
		second := make(chan error, 1)
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error {
			require.NoError(t, box.Write(ctx, tx, event("a", 1)))
			go func() {
				second <- db.InTx(t.Context(), func(ctx context.Context, tx data.Tx) error { return box.Write(ctx, tx, event("a", 2)) })
			}()
			require.Eventually(t, func() bool { // until the second waits
				var n int
				require.NoError(t, db.QueryRow(t.Context(),
					`select count(*) from pg_locks
					where locktype = 'advisory' and not granted
					and database = (select oid from pg_database where datname = current_database())`).Scan(&n))
				return n == 1
			}, 10*time.Second, time.Millisecond)
			write(t, box, db, event("b", 1)) // another key does not wait
			drain(t, relay)
			require.Equal(t, []string{"b-1"}, b.ids())
			return nil
		}))
		require.NoError(t, <-second)
		drain(t, relay)
		require.Equal(t, []string{"b-1", "a-1", "a-2"}, b.ids())
	})
}
