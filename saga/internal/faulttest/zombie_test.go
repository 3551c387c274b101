package faulttest_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/pgproxy"
	"github.com/marty-framework/mmf/saga"
)

// where lets a hook fire once, at a point that suits, and keeps what it saw.
type where struct {
	suits func(pgproxy.Point) bool
	hit   chan pgproxy.Point
	free  chan struct{} // the hook returns when this is closed; nil: at once
	fired atomic.Bool
}

func (w *where) hook(p pgproxy.Point) pgproxy.Fate {
	if !w.fired.Load() && w.suits(p) && w.fired.CompareAndSwap(false, true) {
		w.hit <- p
		if w.free != nil {
			<-w.free
		}
	}
	return pgproxy.Forward
}

func runs(text string) func(pgproxy.Point) bool {
	return func(p pgproxy.Point) bool { return strings.Contains(strings.Join(p.SQL, "\n"), text) }
}

// TestZombies stops a worker with SIGSTOP at chosen points, for longer than its lease; another one takes over and ends every
// saga while the first is still stopped, whatever locks that holds. Then the first wakes: nothing of it is taken, it starts
// nothing, and it works on as a new incarnation. F-ZOMB-1, F-ZOMB-2, F-CLK-2, SAFE-12, LIVE-2.
func TestZombies(t *testing.T) {
	t.Parallel()
	type stop struct {
		// arm makes the point known by a message; the worker is stopped then. free lets a held message pass afterwards.
		arm     func(r *rig) (hit chan pgproxy.Point, free func())
		evicted bool // its session holds what others need
	}
	after := func(suits func(pgproxy.Point) bool) func(r *rig) (chan pgproxy.Point, func()) {
		return func(r *rig) (chan pgproxy.Point, func()) {
			w := &where{suits: suits, hit: make(chan pgproxy.Point)}
			r.proxy.After(w.hook)
			return w.hit, func() {}
		}
	}
	held := func(suits func(pgproxy.Point) bool) func(r *rig) (chan pgproxy.Point, func()) {
		return func(r *rig) (chan pgproxy.Point, func()) {
			w := &where{suits: suits, hit: make(chan pgproxy.Point), free: make(chan struct{})}
			r.proxy.Before(w.hook)
			return w.hit, func() { close(w.free) }
		}
	}
	asked := func(step string, dir saga.Direction) func(r *rig) (chan pgproxy.Point, func()) {
		return func(r *rig) (chan pgproxy.Point, func()) {
			hit := make(chan pgproxy.Point)
			var fired atomic.Bool
			r.ledger.set(func() {
				r.ledger.hold = func(e entry) {
					if e.Step == step && e.Dir == string(dir) && fired.CompareAndSwap(false, true) {
						hit <- pgproxy.Point{}
					}
				}
			})
			return hit, func() {}
		}
	}
	recorded := func(p pgproxy.Point) bool {
		return strings.Contains(strings.Join(p.Writes, "\n"), "saga_journal") && !p.InTx
	}
	var records, claims atomic.Int32
	for name, s := range map[string]stop{
		"inside a step":                        {asked("left", saga.Do), false},
		"inside a compensation":                {asked("left", saga.Undo), false},
		"between effect and record":            {held(func(p pgproxy.Point) bool { return recorded(p) && records.Add(1) == 3 }), false},
		"between a record and its reply":       {after(func(p pgproxy.Point) bool { return p.Durable && recorded(p) && len(p.SQL) > 0 }), false},
		"inside a TxStep that holds the fence": {after(func(p pgproxy.Point) bool { return p.InTx && runs("saga_journal")(p) }), true},
		"inside a claim that holds the lanes":  {after(func(p pgproxy.Point) bool { return runs("lock table saga_lane")(p) && claims.Add(1) == 3 }), true},
		"before the commit of a TxStep":        {held(func(p pgproxy.Point) bool { return p.InTx && strings.Contains(strings.Join(p.Writes, "\n"), "booked") }), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			sagas := orders("z", 6)
			hit, free := s.arm(r)
			stays := r.spec(sagas...)
			stays.Stay = true // it must not end before it has noticed
			zombie := r.worker(stays)
			point := <-hit
			zombie.signal(syscall.SIGSTOP)
			stopped := time.Now()
			heir := r.worker(r.spec(sagas...))
			heir.finish()
			t.Logf("all over %s after the stop (lease 1s)", time.Since(stopped).Round(time.Millisecond))
			r.quiet()
			r.check(sagas)
			if s.evicted {
				require.Zero(t, r.number(`select count(*) from pg_stat_activity where pid = $1 and state like 'idle in%'`, int64(point.Process)),
					"the zombie's session was ended")
			}
			before := len(r.ledger.of("z"))
			free()
			zombie.signal(syscall.SIGCONT)
			r.ledger.wait("the zombie noticed", func(e event) bool { return e.Worker == zombie.name && e.Ev == "fenced" })
			zombie.signal(syscall.SIGTERM)
			zombie.finish()
			r.check(sagas)
			for _, e := range r.ledger.of("z")[before:] {
				require.NotEqual(t, "applied", e.Effect, "a call that was under way lands harmlessly: %v", e)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		s := r.spec()
		s.Stay = true
		zombie := r.worker(s)
		r.ready(zombie)
		zombie.signal(syscall.SIGSTOP)
		sagas := orders("z", 6)
		r.worker(r.spec(sagas...)).finish()
		r.check(sagas)
		zombie.signal(syscall.SIGCONT)
		r.ledger.wait("the zombie noticed", func(e event) bool { return e.Worker == zombie.name && e.Ev == "fenced" })
		more := orders("m", 4)
		client := r.spec(more...)
		r.worker(client).finish()
		r.check(more)
		zombie.signal(syscall.SIGTERM)
		zombie.finish()
	})
}
