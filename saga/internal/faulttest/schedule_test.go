package faulttest_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/pgproxy"
	"github.com/marty-framework/mmf/saga"
)

// tally counts faults by kind over all schedules of a test.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[what] += n
}

func (t *tally) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(t.n)) {
		fmt.Fprintf(&b, "%s %d · ", k, t.n[k])
	}
	return strings.TrimSuffix(b.String(), " · ")
}

// TestSchedules runs two workers through random schedules of faults, heals, and examines everything: kills, pauses beyond the
// lease, lost connections and replies, a frozen and a dead network, ended sessions, pools of two connections. Each schedule
// follows from its seed; MMF_TEST_FAULT_SEED repeats one. SAFE-1 to 9, 11 to 14, LIVE-1.
func TestSchedules(t *testing.T) {
	t.Parallel()
	seeds := 20
	if long {
		seeds = 200
	}
	for _, engine := range []string{"postgres", "sqlite"} {
		t.Run(engine, func(t *testing.T) {
			n := seeds
			if engine == "sqlite" {
				n = seeds / 4
			}
			first := rand.Uint64() >> 16
			if s, err := strconv.ParseUint(os.Getenv("MMF_TEST_FAULT_SEED"), 10, 64); err == nil {
				first, n = s, 1
			}
			var fired tally
			slots := make(chan struct{}, 4)
			t.Run("seeds", func(t *testing.T) {
				for i := range n {
					seed := first + uint64(i)
					t.Run(fmt.Sprint(seed), func(t *testing.T) {
						t.Parallel()
						slots <- struct{}{}
						defer func() { <-slots }()
						s := &schedule{rng: rand.New(rand.NewPCG(seed, 7)), fired: &fired}
						if engine == "sqlite" {
							s.rig = sqliteRig(t)
						} else {
							s.rig = newRig(t)
						}
						s.run(seed)
					})
				}
			})
			t.Logf("%s: %d seeds from %d: %s", engine, n, first, &fired)
			require.Positive(t, fired.n["kill"]+fired.n["stop"])
			if engine == "postgres" && n > 1 {
				require.Positive(t, fired.n["unknown outcomes"], "nobody ever was in doubt")
			}
		})
	}
}

// schedule is one run.
type schedule struct {
	*rig
	rng   *rand.Rand
	fired *tally
	specs []spec
	procs []*process
	plan  []string
}

func (s *schedule) note(format string, args ...any) {
	s.plan = append(s.plan, fmt.Sprintf(format, args...))
}

func (s *schedule) run(seed uint64) {
	t := s.t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with MMF_TEST_FAULT_SEED=%d go test ./saga/internal/faulttest -run TestSchedules\n%s", seed, strings.Join(s.plan, "\n"))
		}
	})
	all := orders("x", 24)
	for i := range 2 {
		sp := s.spec(all[12*i : 12*(i+1)]...)
		sp.Stay, sp.MaxConns, sp.TxConcurrent = true, []int{2, 4, 10}[s.rng.IntN(3)], 1+s.rng.IntN(3)
		s.note("worker %d: %d connections, %d transactions at once", i, sp.MaxConns, sp.TxConcurrent)
		s.specs = append(s.specs, sp)
		s.procs = append(s.procs, s.worker(sp))
	}
	for range 3 + s.rng.IntN(4) {
		pause := time.Duration(s.rng.IntN(400)) * time.Millisecond
		s.note("%s later", pause)
		time.Sleep(pause)
		s.fault()
	}
	for i, p := range s.procs {
		select {
		case <-p.done:
			s.restart(i)
		default:
		}
	}
	for _, o := range all {
		s.ledger.wait(o.ID+" was started", func(e event) bool { return e.Ev == "started" && e.Saga == o.ID })
	}
	s.quiet()
	for _, p := range s.procs {
		s.ready(p) // to be told to end
		p.signal(syscall.SIGTERM)
	}
	for _, p := range s.procs {
		p.finish()
	}
	s.check(all)
	s.judge(all)
	s.tally(all)
}

// tally adds up what happened, for the end of the test.
func (s *schedule) tally(all []start) {
	if s.proxy != nil {
		c := s.proxy.Counts()
		require.Zero(s.t, c.Unforeseen)
		s.fired.add("unknown outcomes", c.Swallowed)
	}
	s.fired.add("unknown outcomes that reached a hook or a caller", s.ledger.count("unknown")+s.ledger.count("start-unknown"))
	s.fired.add("fenced", s.ledger.count("fenced"))
	moved := 0
	for _, o := range all {
		ref, err := s.store.Lookup(s.t.Context(), saga.ID(o.ID))
		require.NoError(s.t, err)
		if s.number(`select count(distinct epoch) from saga_journal where uid = $1`, uidArg(s.db, ref.UID)) > 1 {
			moved++
		}
	}
	s.fired.add("sagas that changed their owner", moved)
}

func (s *schedule) restart(i int) {
	s.specs[i].Name += "'"
	s.procs[i] = s.worker(s.specs[i])
}

func (s *schedule) fault() {
	i := s.rng.IntN(len(s.procs))
	kinds := 3
	if s.proxy != nil {
		kinds = 9
	}
	wait := func(d time.Duration) { time.Sleep(d) }
	switch k := s.rng.IntN(kinds); k {
	case 0, 1:
		s.note("kill %d", i)
		s.procs[i].kill()
		s.ledger.note(event{Worker: s.procs[i].name, Ev: "kill"})
		s.fired.add("kill", 1)
		wait(time.Duration(s.rng.IntN(300)) * time.Millisecond)
		s.restart(i)
	case 2:
		d := 1200*time.Millisecond + time.Duration(s.rng.IntN(600))*time.Millisecond
		s.note("stop %d for %s", i, d)
		s.procs[i].signal(syscall.SIGSTOP)
		s.ledger.note(event{Worker: s.procs[i].name, Ev: "stop"})
		wait(d)
		s.procs[i].signal(syscall.SIGCONT)
		s.fired.add("stop", 1)
	case 3, 4, 5:
		n := 1 + s.rng.IntN(12)
		side := "before"
		if s.rng.IntN(3) > 0 {
			side = "after"
		}
		s.note("cut %s the %d. commit from here", side, n)
		a := &armed{n: int32(n), fate: func(pgproxy.Point) pgproxy.Fate { return pgproxy.Cut }}
		sides[side](s.proxy, a.hook)
		for deadline := time.Now().Add(300 * time.Millisecond); !a.fired.Load() && time.Now().Before(deadline); {
			wait(time.Millisecond)
		}
		sides[side](s.proxy, nil)
		if a.fired.Load() {
			s.ledger.note(event{Ev: "cut"})
			s.fired.add("cut "+side+" commit", 1)
		}
	case 6:
		d := 200*time.Millisecond + time.Duration(s.rng.IntN(1300))*time.Millisecond
		s.note("freeze for %s", d)
		s.proxy.Freeze()
		wait(d)
		s.proxy.Thaw()
		s.fired.add("freeze", 1)
	case 7:
		d := time.Duration(s.rng.IntN(1500)) * time.Millisecond
		s.note("no network for %s", d)
		s.proxy.Down()
		wait(d)
		s.proxy.Up()
		s.fired.add("no network", 1)
	case 8:
		s.note("end all sessions")
		n := s.number(`select count(pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and application_name = 'mmf'`)
		s.fired.add("ended sessions", n)
	}
}
