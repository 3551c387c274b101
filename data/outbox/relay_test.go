package outbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/data/outbox"
)

// run starts a relay and returns a func that stops it and waits.
func run(t *testing.T, relay *outbox.Relay) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(stop)
	return stop
}

// In a bubble, because it is about time: an idle relay has come to the longest pause when an event is written.
func TestRunNoticesEventsOfItsProcessWithoutPolling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sqliteOnly(t)
		box, b := newBox(t), &broker{arrived: make(chan outbox.Record)}
		stop := run(t, newRelay(t, outbox.RelayConfig{Poll: 24 * time.Hour}, box, db, b))
		for n := range 3 {
			time.Sleep(72 * time.Hour)
			write(t, box, db, event("a", n))
			written := time.Now()
			require.Equal(t, event("a", n).ID, (<-b.arrived).ID)
			require.Less(t, time.Since(written), time.Second)
		}
		stop()
		require.NoError(t, db.Close())
	})
}

func TestAFailureHoldsItsKeyOnly(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box := newBox(t)
		var down atomic.Bool
		down.Store(true)
		b := &broker{arrived: make(chan outbox.Record, 100), refuse: func(r outbox.Record) error {
			if r.Key == "a" && down.Load() {
				return errors.New("not now")
			}
			return nil
		}}
		var failures atomic.Int32
		const pause = 100 * time.Millisecond
		relay := newRelay(t, outbox.RelayConfig{Batch: 2, RetryMin: pause, RetryMax: pause, Hooks: outbox.Hooks{Failed: func(
			_ context.Context, ev data.Event, attempt int, parked bool, _ error,
		) {
			if n := failures.Add(1); ev.ID != "a-1" || attempt != int(n) || parked {
				t.Errorf("%s, attempt %d, parked %t", ev.ID, attempt, parked)
			}
			if attempt == 5 {
				down.Store(false)
			}
		}}}, box, db, b)
		// With batches of two the failing key must not fill every batch.
		write(t, box, db, event("a", 1), event("a", 2), event("a", 3), event("b", 1), event("c", 1))
		stop := run(t, relay)
		for range 5 {
			<-b.arrived
		}
		stop()
		require.Equal(t, map[string][]int{"a": {1, 2, 3}, "b": {1}, "c": {1}}, b.firsts(t))
		require.EqualValues(t, 5, failures.Load())
		require.Equal(t, "b-1", b.ids()[0], "other keys did not wait")
	})
}

func TestASecondRelayWaitsForTheLease(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, first, second := newBox(t), &broker{}, &broker{}
		a := newRelay(t, outbox.RelayConfig{Lease: time.Hour}, box, db, first)
		b := newRelay(t, outbox.RelayConfig{Lease: 100 * time.Millisecond}, box, db, second)
		write(t, box, db, event("x", 1))
		drain(t, a)
		write(t, box, db, event("x", 2))
		drain(t, b)
		require.Empty(t, second.ids())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, a.Run(ctx), "stopping gives the lease back")
		drain(t, b)
		require.Equal(t, []string{"x-2"}, second.ids())
		drain(t, a)
		time.Sleep(110 * time.Millisecond) // b's lease ends by the database's clock
		write(t, box, db, event("x", 3))
		drain(t, a)
		require.Equal(t, []string{"x-1", "x-3"}, first.ids())
	})
}

// A relay is stopped between publishing and marking, and another takes over (F-OBX-2).
func TestAZombieRepeatsAndNeverOvertakes(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		entered, resume := make(chan struct{}), make(chan struct{})
		zombie := publisherFunc(func(ctx context.Context, records []outbox.Record) []error {
			close(entered)
			<-resume
			return b.Publish(context.WithoutCancel(ctx), records)
		})
		var lost atomic.Int32
		a := newRelay(t, outbox.RelayConfig{Lease: 100 * time.Millisecond, Hooks: outbox.Hooks{
			LeaseLost: func(_ context.Context, n int) { lost.Add(int32(n)) },
			Published: func(context.Context, data.Event, time.Duration) { t.Error("a zombie must not report events as marked") },
		}}, box, db, zombie)
		c := newRelay(t, outbox.RelayConfig{}, box, db, b)
		write(t, box, db, event("x", 1), event("x", 2))
		done := make(chan error, 1)
		go func() {
			_, err := a.Step(t.Context())
			done <- err
		}()
		<-entered
		write(t, box, db, event("x", 3))
		require.Eventually(t, func() bool {
			drain(t, c)
			return len(b.ids()) == 3
		}, 10*time.Second, 5*time.Millisecond)
		close(resume)
		require.NoError(t, <-done)
		require.Equal(t, []string{"x-1", "x-2", "x-3", "x-1", "x-2"}, b.ids())
		require.EqualValues(t, 2, lost.Load())
		drain(t, c)
		require.Len(t, b.ids(), 5)
	})
}

type publisherFunc func(context.Context, []outbox.Record) []error

func (f publisherFunc) Publish(ctx context.Context, records []outbox.Record) []error {
	return f(ctx, records)
}

func TestAPublisherThatBreaksItsContractLosesNothing(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box := newBox(t)
		reported := 0
		relay := newRelay(t, outbox.RelayConfig{RetryMin: time.Hour, RetryMax: time.Hour, Hooks: outbox.Hooks{Error: func(
			_ context.Context, err error,
		) {
			require.ErrorContains(t, err, "0 answers for 1 events")
			reported++
		}}}, box, db, publisherFunc(func(context.Context, []outbox.Record) []error { return nil }))
		write(t, box, db, event("a", 1))
		drain(t, relay)
		require.Equal(t, 1, reported)
		stats, err := box.Stats(t.Context(), db)
		require.NoError(t, err)
		require.EqualValues(t, 1, stats.Pending)
	})
}

func TestRunRidesOutADatabaseThatFails(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box := newBox(t)
		var failing atomic.Bool
		failing.Store(true)
		faulty := &faultyDB{DB: db, failing: &failing}
		b := &broker{arrived: make(chan outbox.Record, 1)}
		var reports atomic.Int32
		stop := run(t, newRelay(t, outbox.RelayConfig{Hooks: outbox.Hooks{Error: func(context.Context, error) {
			if reports.Add(1) == 3 {
				failing.Store(false)
			}
		}}}, box, faulty, b))
		write(t, box, db, event("a", 1))
		<-b.arrived
		stop()
		require.EqualValues(t, 3, reports.Load())
	})
}

type faultyDB struct {
	data.DB
	failing *atomic.Bool
}

func (f *faultyDB) InTx(ctx context.Context, fn func(context.Context, data.Tx) error) error {
	if f.failing.Load() {
		return &data.Error{Kind: data.KindUnavailable, Err: errors.New("down")}
	}
	return f.DB.InTx(ctx, fn)
}

func TestSentEventsAreDeletedAfterTheirRetention(t *testing.T) {
	engines(t, func(t *testing.T, db data.DB) {
		box, b := newBox(t), &broker{}
		count := func() (n int) {
			require.NoError(t, db.QueryRow(t.Context(), "select count(*) from mmf_outbox").Scan(&n))
			return n
		}
		write(t, box, db, event("a", 1), event("b", 1))
		b.refuse = func(r outbox.Record) error {
			if r.Key == "b" {
				return outbox.ErrPermanent
			}
			return nil
		}
		keeping := newRelay(t, outbox.RelayConfig{}, box, db, b)
		drain(t, keeping)
		require.Equal(t, 2, count())
		require.NoError(t, keeping.Run(ended(t)))
		drain(t, newRelay(t, outbox.RelayConfig{Retention: time.Nanosecond}, box, db, b))
		require.Equal(t, 1, count(), "the sent one is gone, the parked one is not")
	})
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestRunLeaksNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	db := sqliteOnly(t)
	box, b := newBox(t), &broker{arrived: make(chan outbox.Record, 1)}
	stop := run(t, newRelay(t, outbox.RelayConfig{}, box, db, b))
	write(t, box, db, event("a", 1))
	<-b.arrived
	stop()
	require.NoError(t, db.Close())
}
