package faulttest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// TestGracefulStop asks a busy worker to stop with SIGTERM: it ends with exit code 0, its lanes are free at once, so the next one
// waits for no lease, and nothing is lost. F-SHUT-1.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sagas := orders("g", 100)
	s := r.spec(sagas...)
	s.TTL = time.Hour // of a node that is taken for dead before, the next worker could not get anything within this test
	w := r.worker(s)
	require.Eventually(t, func() bool { return len(r.ledger.of("g")) > 100 }, time.Minute, time.Millisecond)
	w.signal(syscall.SIGTERM)
	w.finish()
	require.NotZero(t, r.number(`select count(*) from saga_active`), "it was stopped in the middle of its work")
	require.Zero(t, r.number(`select count(*) from saga_node`))
	require.Zero(t, r.number(`select count(*) from saga_lane where node is not null`))
	asked := len(r.ledger.of("g"))
	r.worker(r.spec(sagas...)).finish()
	require.Greater(t, len(r.ledger.of("g")), asked)
	r.check(sagas)
}

// TestStopWithAStuckStep gives a step that never answers its grace, cancels it, and ends; the next worker repeats it under its
// key. A second SIGTERM ends the worker at once, which is as safe. F-SHUT-1.
func TestStopWithAStuckStep(t *testing.T) {
	t.Parallel()
	for _, hard := range []bool{false, true} {
		t.Run(fmt.Sprint("hard=", hard), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			sagas := orders("g", 2)
			stuck, free := make(chan struct{}), make(chan struct{})
			var once sync.Once
			r.ledger.set(func() {
				r.ledger.hold = func(e entry) {
					first := false
					if e.Step == "left" {
						once.Do(func() { first = true })
					}
					if first {
						close(stuck)
						<-free
					}
				}
			})
			s := r.spec(sagas...)
			if hard {
				s.Grace = time.Hour
			}
			w := r.worker(s)
			<-stuck
			w.signal(syscall.SIGTERM)
			if hard {
				time.Sleep(50 * time.Millisecond) // two of a kind at once would be one
				w.signal(syscall.SIGTERM)
				<-w.done
				var exit *exec.ExitError
				require.ErrorAs(t, w.err, &exit)
				require.Equal(t, 3, exit.ExitCode())
			} else {
				w.finish()
				require.Zero(t, r.number(`select count(*) from saga_node`), "it left")
			}
			close(free)
			r.worker(r.spec(sagas...)).finish()
			r.check(sagas)
		})
	}
}

// TestCrashLoop kills the worker again and again, as soon as it works: sagas go on all the same, and no crash counts as an
// attempt. F-KILL-3, SAFE-20.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sagas := orders("l", 60)
	crashes := 10
	if long {
		sagas, crashes = orders("l", 200), 120
	}
	ended := func() int {
		return r.number(`select count(*) from saga_key k where not exists (select 1 from saga_active a where a.uid = k.uid)`)
	}
	progress := 0
	for i := 0; i < crashes || progress == 0 && i < 20*crashes; i++ { // on a busy machine a life may be too short for anything
		s := r.spec(sagas...)
		w := r.worker(s)
		r.ready(w)
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond)
		w.kill()
		if now := ended(); now > progress {
			t.Logf("crash %d: %d ended", i+1, now)
			progress = now
		}
	}
	require.Positive(t, progress, "sagas end between the crashes")
	r.worker(r.spec(sagas...)).finish()
	r.check(sagas)
	for _, s := range sagas {
		ref, err := r.store.Lookup(t.Context(), saga.ID(s.ID))
		require.NoError(t, err)
		h, err := r.store.Load(t.Context(), []saga.UID{ref.UID})
		require.NoError(t, err)
		for _, rec := range h[0].Records {
			if rec.Kind == saga.Failed && (rec.Node == "left" || rec.Node == "last" || rec.Node == "hand-over") {
				t.Errorf("%s: a crash counted as an attempt of %s: %s", s.ID, rec.Node, rec.Reason)
			}
		}
	}
}

// TestCallerGoesAway cancels the context of starts at random moments: each saga then exists as a whole, under its id, or not at
// all, and starting it again finds that out. F-CTX-1, SAFE-10, SAFE-11.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.spec()
	s.Stay = true
	w := r.worker(s) // some are started here and carried out there
	r.ready(w)
	store, db, err := openStore(t.Context(), r.through, 8)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	def := define(overHTTP(r.ledger.url, "client"))
	e, err := saga.New(saga.Config{TTL: time.Second, Poll: 10 * time.Millisecond}, store, def)
	require.NoError(t, err)
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(running) }()
	all := orders("c", 300)
	began := time.Now()
	for _, o := range all[:20] {
		_, err := def.Start(t.Context(), e, saga.ID(o.ID), o.order)
		require.NoError(t, err)
	}
	usual := time.Since(began) / 20
	var mu sync.Mutex
	acknowledged, gone := map[string]bool{}, 0
	var callers sync.WaitGroup
	gate := make(chan struct{}, 8)
	for _, o := range all {
		gate <- struct{}{}
		callers.Go(func() {
			defer func() { <-gate }()
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(8*usual))
			defer cancel()
			_, err := def.Start(ctx, e, saga.ID(o.ID), o.order)
			mu.Lock()
			defer mu.Unlock()
			if acknowledged[o.ID] = err == nil; err != nil {
				gone++
			}
		})
	}
	callers.Wait()
	require.Positive(t, gone)
	require.Less(t, gone, len(all))
	half := 0
	for _, o := range all {
		ref, err := r.store.Lookup(t.Context(), saga.ID(o.ID))
		if err == nil {
			h, err := r.store.Load(t.Context(), []saga.UID{ref.UID})
			require.NoError(t, err)
			require.NotEmpty(t, h[0].Records, "%s is half there", o.ID)
		}
		if err != nil {
			require.ErrorIs(t, err, saga.ErrNotFound)
			require.False(t, acknowledged[o.ID], "%s was acknowledged", o.ID)
		} else if !acknowledged[o.ID] {
			half++
		}
	}
	t.Logf("%d of %d callers went away; %d of their sagas exist", gone, len(all), half)
	var again sync.WaitGroup
	for _, o := range all {
		gate <- struct{}{}
		again.Go(func() {
			defer func() { <-gate }()
			client(t.Context(), spec{Stay: true}, e, def, o, func(ev, id, text string) {
				if ev == "bad" {
					t.Errorf("%s: %s", id, text)
				}
			})
		})
	}
	again.Wait()
	r.quiet()
	stop()
	require.NoError(t, <-done)
	w.signal(syscall.SIGTERM)
	w.finish()
	r.check(all)
}

// TestExhaustedPool runs 50 transactional steps at once over a pool of two connections: nobody loses a lease for want of a
// connection to beat with. F-POOL-1.
func TestExhaustedPool(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	store, db, err := openStore(t.Context(), r.through, 2)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	type nap struct{ N int }
	long := saga.TxStep("hold", func(c saga.Ctx, tx data.Tx, n nap) (saga.None, error) {
		_, err := tx.Exec(c, `insert into booked (saga, amount) select $1, 1 from pg_sleep(0.4)`, string(c.SagaID()))
		return saga.None{}, err
	}).Retry(patient).Timeout(time.Minute)
	def := saga.Define("naps", 1, long)
	var mu sync.Mutex
	fenced, failed := 0, []error{}
	// A beat that waited for its turn among the steps would come after 10 s.
	cfg := saga.Config{TTL: 4 * time.Second, Poll: 10 * time.Millisecond, TxConcurrency: 50}
	cfg.Hooks.Fenced = func(context.Context, saga.NodeEvent) { mu.Lock(); fenced++; mu.Unlock() }
	cfg.Hooks.Failed = func(_ context.Context, err error) { mu.Lock(); failed = append(failed, err); mu.Unlock() }
	e, err := saga.New(cfg, store, def)
	require.NoError(t, err)
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(running) }()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			run, err := def.Start(t.Context(), e, saga.ID(fmt.Sprint("n", i)), nap{i})
			if err == nil {
				_, err = run.Result(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	stop()
	require.NoError(t, <-done)
	mu.Lock()
	defer mu.Unlock()
	require.Zero(t, fenced, "%v", failed)
	require.Equal(t, 50, r.number(`select count(*) from booked`))
}
