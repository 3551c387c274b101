package sagatest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// Setup makes the fakes of one schedule with the world it is given, and returns the definition over them.
type Setup[S any] func(w *World) *saga.Def[S]

// Explore runs a saga under every single fault and every pair of faults that its own run comes by, and fails the test with the shortest
// schedule that breaks a promise.
//
// Each schedule is one saga, carried out by the real engine on a store in memory, in a [testing/synctest] bubble: a timeout of a minute
// and a deadline of two days take microseconds. Faults are crashes before and after every effect and every record, refusals, errors, lost
// replies, timeouts whose effect comes late, repeated deliveries, lost commits, a store that is down, signals too early and too late,
// cancellation at every record; [Kind] lists them. Faults in parallel branches count once, in whatever order the branches run.
//
// After each schedule the saga must have ended; the ledgers of the [World.Participant]s must show no effect that happened twice, came
// late, or stands in a compensated saga; and your own invariants ([World.Always], [World.Finally]) must hold. A finding bears the name
// of the bug: missing-undo, undo-not-idempotent, undo-assumes-result, undo-keeps-effect, undo-skips-unknown, undo-fails, undo-out-of-order,
// unkeyed-call, unstable-key, shared-key, effect-outside-transaction, effect-before-reject, forgotten-into, late-effect, retriable-rejects,
// nondeterministic, stuck, does-not-complete, or that of an invariant.
//
// The setup runs once per schedule, inside of the bubble: goroutines that it starts must end with the saga, and fakes must return when
// their context ends. Explore must not be called in a bubble. The report is returned for those who want to look further.
func Explore[S any](t *testing.T, input S, setup Setup[S], opts ...Option) *Report {
	t.Helper()
	r := Search(t, input, setup, opts...)
	if len(r.Findings) > 0 {
		t.Fatalf("%s", r)
	}
	t.Logf("%s", r)
	return r
}

// Search is [Explore] that does not fail the test.
func Search[S any](t *testing.T, input S, setup Setup[S], opts ...Option) *Report {
	t.Helper()
	x := newExplorer(t, input, setup, opts)
	began := time.Now()
	x.search()
	x.report.Elapsed = time.Since(began)
	return x.report
}

// Replay runs the one schedule that a report of [Explore] shows, and fails the test with the same diagram if the bug is still there.
func Replay[S any](t *testing.T, schedule string, input S, setup Setup[S], opts ...Option) {
	t.Helper()
	s, err := ParseSchedule(schedule)
	if err != nil {
		t.Fatal(err)
	}
	x := newExplorer(t, input, setup, opts)
	r := x.exec(s)
	for _, f := range s {
		if !slices.Contains(r.fired, f) {
			t.Errorf("the run never came by %s: the saga has changed, explore it again", f)
		}
	}
	if len(x.report.Findings) > 0 {
		t.Fatalf("%s", x.report)
	}
}

type explorer struct {
	t      *testing.T
	opts   *options
	report *Report
	db     *resettable
	other  *resettable
	setup  func(*World) (saga.Definition, func(context.Context, *saga.Engine) error)
	tried  map[string]bool
	rng    *rand.Rand // nil: schedules are enumerated
}

func newExplorer[S any](t *testing.T, input S, setup Setup[S], opts []Option) *explorer {
	t.Helper()
	x := &explorer{
		t: t, opts: &options{depth: 2, most: 20_000, signals: map[string]func(context.Context, *saga.Engine) error{}}, tried: map[string]bool{},
		report: &Report{Fired: map[Kind]int{}, Undos: map[string]*UndoAudit{}, seen: map[string]bool{}},
	}
	for _, o := range opts {
		o(x.opts)
	}
	x.db, x.other = openResettable(t, x.opts.schema), openResettable(t, x.opts.otherSchema)
	x.setup = func(w *World) (saga.Definition, func(context.Context, *saga.Engine) error) {
		def := setup(w)
		return def, func(ctx context.Context, e *saga.Engine) error {
			_, err := def.Start(ctx, e, sagaID, input)
			return err
		}
	}
	return x
}

// search tries no fault, then each alone, then each pair.
func (x *explorer) search() {
	base := x.exec(nil)
	if x.opts.random > 0 {
		x.draw()
	}
	x.report.Saga = fmt.Sprintf("%s@%d", base.def.Name(), base.def.Version())
	if len(x.report.Findings) > 0 || x.opts.depth < 1 || x.opts.random > 0 {
		return
	}
	var singles []Schedule
	for _, p := range base.places {
		for _, k := range p.kinds {
			if x.opts.allows(k) {
				singles = append(singles, Schedule{{k, p.at}})
			}
		}
	}
	var pairs []Schedule
	for _, s := range singles {
		r := x.exec(s)
		if len(r.findings) > 0 || len(r.fired) == 0 {
			continue
		}
		for _, p := range r.places[min(r.firedAt, len(r.places)):] {
			for _, k := range p.kinds {
				if x.opts.allows(k) && p.at != s[0].At {
					pairs = append(pairs, Schedule{s[0], {k, p.at}})
				}
			}
		}
	}
	if len(x.report.Findings) > 0 || x.opts.depth < 2 {
		return // the shortest schedules first: with these mended, the rest is worth its time
	}
	last := math.MaxInt
	for i, s := range pairs {
		if key := x.key(s); !x.tried[key] {
			x.tried[key] = true
			x.exec(s)
		} else {
			x.report.Reduced++
		}
		if x.report.Schedules >= last {
			return
		}
		if len(x.report.Findings) > 0 && last == math.MaxInt {
			last = x.report.Schedules + afterFinding
		}
		if x.report.Schedules >= x.opts.most {
			x.report.Cut = len(pairs) - i - 1
			return
		}
	}
	x.auditUndos(base)
}

// auditUndos finds compensations that no fault ever reached, although their step ran.
func (x *explorer) auditUndos(base *run) {
	for _, a := range base.attempts {
		if u := declared(x.report.Undos, a.step); u != nil && u.Reached == 0 && len(x.opts.without) == 0 {
			x.report.Findings = append(x.report.Findings, Found{Finding: Finding{
				Bug: "undo-never-reached", Property: "SAFE-6", Step: a.step, Detail: "no fault leads to its compensation: it is dead, or untested",
			}})
			delete(x.report.Undos, a.step)
		}
	}
}

// draw runs random schedules.
func (x *explorer) draw() {
	for i := range x.opts.random {
		x.rng = rand.New(rand.NewPCG(x.opts.seed, uint64(i)))
		x.exec(nil)
		if len(x.report.Findings) > 0 {
			return
		}
	}
	x.rng = nil
}

// afterFinding is how many more pairs are tried once one has shown a bug: enough to see related ones.
const afterFinding = 200

// key is the same for schedules that differ only in the order of their faults.
func (x *explorer) key(s Schedule) string {
	parts := []string{s[0].String(), s[1].String()}
	slices.Sort(parts)
	return strings.Join(parts, "+")
}

// exec carries one schedule out in a bubble of its own.
func (x *explorer) exec(s Schedule) *run {
	x.db.reset(x.t)
	x.other.reset(x.t)
	var r *run
	synctest.Test(x.t, func(t *testing.T) {
		r = x.newRun(t.Context(), s)
		r.random = x.rng
		if r.def.Err() != nil {
			r.found(Finding{Bug: "invalid-definition", Property: "Def.Err", Detail: r.def.Err().Error()})
			return
		}
		r.drive()
		r.random = nil
		r.judge()
	})
	x.report.add(r)
	return r
}

func (x *explorer) newRun(ctx context.Context, s Schedule) *run {
	r := &run{
		opts: x.opts, ctx: ctx, schedule: s, nodes: map[string]saga.NodeInfo{}, side: map[string]bool{},
		consumers: map[string]func(context.Context, data.Event) error{}, over: make(chan struct{}), changes: make(chan struct{}, 1),
		lasting: map[string]Kind{}, counts: map[string]int{}, stamps: map[int64]int64{}, undone: map[string]chan struct{}{},
		ledger: map[string]*stand{}, keys: map[string]bool{}, sent: map[string]bool{}, began: time.Now(), ttl: virtualTTL,
	}
	r.store = NewStore(x.db.DB).(*memory)
	r.db, r.other = r.store.DB(), NewStore(x.other.DB).DB()
	r.def, r.start = x.setup(&World{r})
	saga.Walk(r.def.Tree(), func(n saga.NodeInfo, parents []saga.NodeInfo) {
		r.nodes[n.Name] = n
		r.side[n.Name] = slices.ContainsFunc(parents, func(p saga.NodeInfo) bool { return p.Kind == "parallel" || p.Kind == "each" })
		once := n.Timeout + max(n.Retry.Cap, n.Undo.Cap)
		if n.Kind == "sleep" || n.Within > longWait {
			r.ttl = longTTL
		}
		r.patience = max(r.patience, time.Duration(max(n.Retry.Max, n.Undo.Max))*once+n.Within)
	})
	return r
}

// options of an exploration.
type options struct {
	depth       int
	random      int
	most        int
	seed        uint64
	mayFail     bool
	without     []Kind
	schema      func(context.Context, data.DB) error
	otherSchema func(context.Context, data.DB) error
	signals     map[string]func(context.Context, *saga.Engine) error
}

func (o *options) allows(k Kind) bool { return !slices.Contains(o.without, k) }

// Option varies an exploration.
type Option func(*options)

// Faults sets how many faults a schedule has at most: 0, 1 or 2, which is the default.
func Faults(n int) Option { return func(o *options) { o.depth = n } }

// Most bounds the number of schedules. Default 20,000, which is a minute or so; the report says what was left out.
func Most(n int) Option { return func(o *options) { o.most = n } }

// Random runs n random schedules, of up to six faults each, instead of all with few. What was drawn is reported like any other
// schedule; the same seed draws the same lots, though not always at the same places where branches run side by side.
func Random(n int, seed uint64) Option { return func(o *options) { o.random, o.seed = n, seed } }

// Without leaves kinds of faults out, such as those that a participant of yours is known not to survive.
func Without(kinds ...Kind) Option {
	return func(o *options) { o.without = append(o.without, kinds...) }
}

// MayFail says that the saga need not complete when nothing goes wrong: its input is one that is refused.
func MayFail() Option { return func(o *options) { o.mayFail = true } }

// Schema creates the tables of [World.DB], once.
func Schema(create func(ctx context.Context, db data.DB) error) Option {
	return func(o *options) { o.schema = create }
}

// OtherSchema creates the tables of [World.OtherDB], once.
func OtherSchema(create func(ctx context.Context, db data.DB) error) Option {
	return func(o *options) { o.otherSchema = create }
}

// Signal says what is sent when the saga waits for a signal. Without it nothing comes, and the deadline passes.
func Signal[D any](sig *saga.Signal[D], payload D) Option {
	return func(o *options) {
		o.signals[sig.Name()] = func(ctx context.Context, e *saga.Engine) error {
			return sig.Send(ctx, e, sagaID, payload, saga.DedupeKey("sagatest"))
		}
	}
}
