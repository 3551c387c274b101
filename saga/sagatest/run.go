package sagatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// sagaID is the id of the saga that is explored.
const sagaID = "explored"

// run is one schedule carried out by the real engine, in a bubble with a time of its own.
type run struct {
	opts  *options
	ctx   context.Context
	start func(ctx context.Context, e *saga.Engine) error
	def   saga.Definition
	nodes map[string]saga.NodeInfo
	side  map[string]bool // inside a parallel group

	store     *memory
	db, other data.DB
	consumers map[string]func(context.Context, data.Event) error
	always    []invariant
	finally   []ending
	began     time.Time
	ttl       time.Duration // of leases; also how often the engine looks for work
	patience  time.Duration // longer than any step goes on trying
	over      chan struct{} // closed when the saga has ended
	changes   chan struct{} // somebody should look
	work      sync.WaitGroup

	mu       sync.Mutex
	engine   *saga.Engine
	front    *front
	schedule Schedule
	fired    []Fault
	firedAt  int        // places before the last fault
	random   *rand.Rand // instead of a schedule
	lasting  map[string]Kind
	counts   map[string]int
	places   []place
	lines    []string
	stamp    int64
	stamps   map[int64]int64 // by the number of a record
	undone   map[string]chan struct{}
	attempts []attemptNote
	ledger   map[string]*stand
	keys     map[string]bool
	effects  []Effect
	unkeyed  int
	changed  bool
	outcome  saga.Outcome
	parked   string // the step at which it is parked
	reason   string
	resumed  int
	wakeAt   time.Time
	sent     map[string]bool
	findings []Finding
}

type attemptNote struct {
	step  string
	undo  bool
	known bool
	err   error
}

func (r *run) stampLocked() int64 { r.stamp++; return r.stamp }

func (r *run) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked(format, args...)
}

func (r *run) noteLocked(format string, args ...any) {
	at := time.Since(r.began).Round(time.Millisecond)
	r.lines = append(r.lines, fmt.Sprintf("%8s %s", at, fmt.Sprintf(format, args...)))
}

// placeLocked notes that the run comes by a place and returns its full name.
func (r *run) placeLocked(id string, kinds []Kind) string {
	r.counts[id]++
	at := id
	if n := r.counts[id]; n > 1 {
		at = fmt.Sprintf("%s#%d", id, n)
	}
	if r.counts[id] <= maxRepeats {
		r.places = append(r.places, place{at, kinds})
	}
	return at
}

// maxRepeats bounds how often faults are tried at the same place of one run.
const maxRepeats = 2

// takeLocked returns the faults that the schedule has for a place.
func (r *run) takeLocked(at string) (kinds []Kind) {
	for _, f := range r.schedule {
		if f.At == at {
			kinds = append(kinds, f.Kind)
			r.fired, r.firedAt = append(r.fired, f), len(r.places)
			r.noteLocked("  ⚡ %s", f)
		}
	}
	if r.random != nil {
		return r.drawLocked(at)
	}
	return kinds
}

// How random schedules are drawn: about one place in ten has a fault, and nobody survives an endless row of them.
const (
	randomRate = 0.1
	randomMost = 6
)

// drawLocked draws lots for the place that the run came by last.
func (r *run) drawLocked(at string) []Kind {
	last := len(r.places) - 1
	if last < 0 || r.places[last].at != at || len(r.fired) >= randomMost || r.random.Float64() >= randomRate {
		return nil
	}
	kinds := r.places[last].kinds
	f := Fault{kinds[r.random.IntN(len(kinds))], at}
	if !r.opts.allows(f.Kind) || f.Kind == SignalEarly {
		return nil
	}
	r.fired, r.schedule = append(r.fired, f), append(r.schedule, f)
	r.noteLocked("  ⚡ %s", f)
	return []Kind{f.Kind}
}

func (r *run) background(f func()) {
	r.work.Go(f)
}

func (r *run) look() {
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

// around carries out the attempts of one process.
func (r *run) around(f *front) func(saga.Ctx, func(saga.Ctx) error) error {
	return func(c saga.Ctx, attempt func(saga.Ctx) error) error {
		if f.dead.Load() {
			<-c.Done()
			return context.Cause(c)
		}
		undo := c.Direction() == saga.Undo
		id := c.Step() + "/" + string(c.Direction())
		r.mu.Lock()
		r.noteLocked("%s, attempt %d", verb(undo, c.Step()), c.Attempt())
		kinds := r.takeLocked(r.placeLocked(id, kindsFor(declared(r.nodes, c.Step()), undo, r.side[c.Step()])))
		if r.hasEffectLocked(c.Step()) { // a service that knows the key does not refuse what it has done
			kinds = slices.DeleteFunc(kinds, func(k Kind) bool { return k == Reject })
		}
		again := false
		if k, holds := r.lasting[id]; holds {
			kinds, again = []Kind{k}, true
		} else if len(kinds) > 0 && slices.Contains(lasting, kinds[0]) {
			r.lasting[id] = kinds[0]
		}
		r.mu.Unlock()
		who := caller{step: c.Step(), undo: undo, attempt: c.Attempt(), key: c.Key(), node: f}
		err := r.carryOut(c, who, kinds, again, attempt)
		r.mu.Lock()
		r.attempts = append(r.attempts, attemptNote{c.Step(), undo, c.ResultKnown(), err})
		if err != nil {
			r.noteLocked("      %s fails: %s", verb(undo, c.Step()), short(err.Error()))
		}
		r.mu.Unlock()
		return err
	}
}

func (r *run) hasEffectLocked(step string) bool {
	return slices.ContainsFunc(r.effects, func(e Effect) bool { return e.Step == step && !e.Undo && e.Effect == Applied })
}

func (r *run) carryOut(c saga.Ctx, who caller, kinds []Kind, again bool, attempt func(saga.Ctx) error) error {
	plain := c
	c.Context = context.WithValue(plain.Context, callerKey{}, who)
	if len(kinds) == 0 {
		return attempt(c)
	}
	late := func() error { // the request of a caller that has long given up
		who.node = nil
		plain.Context = context.WithValue(context.WithoutCancel(plain.Context), callerKey{}, who)
		return attempt(plain)
	}
	id := c.Step() + "/" + string(c.Direction())
	switch kinds[0] {
	case CrashBefore:
		who.node.die("before " + id + " begins")
		return errInjected
	case CrashAfter:
		err := attempt(c)
		who.node.die("after the effect of " + id)
		return errors.Join(errInjected, err)
	case Reject:
		return saga.Reject("refused (injected)")
	case FailOnce, Unknowable, Stuck:
		return errInjected
	case UnknownEffect:
		if again {
			return errInjected
		}
		if err := attempt(c); err != nil {
			return err
		}
		return errInjected
	case LostReply:
		if err := attempt(c); err != nil {
			return err
		}
		return errInjected
	case LateEffect:
		<-c.Done()
		r.background(func() {
			time.Sleep(time.Millisecond)
			_ = late()
		})
		return context.Cause(c)
	case LateAfterUndo:
		<-c.Done()
		if !again {
			undone := r.undoneChan(c.Step())
			r.background(func() {
				select {
				case <-undone:
				case <-r.over:
				}
				time.Sleep(time.Millisecond)
				r.note("      the late effect of %s arrives", c.Step())
				_ = late()
			})
		}
		return context.Cause(c)
	case Twice:
		if err := attempt(c); err != nil {
			return err
		}
		return attempt(c)
	case Slow:
		select {
		case <-time.After(declared(r.nodes, c.Step()).Timeout / 2):
		case <-c.Done():
			return context.Cause(c)
		}
	}
	return attempt(c)
}

// undoneLocked tells those who wait for it that a step was taken back; after a late completion that happens again.
func (r *run) undoneLocked(step string) {
	ch := r.undone[step]
	if ch == nil {
		ch = make(chan struct{})
		r.undone[step] = ch
	}
	select {
	case <-ch:
	default:
		close(ch)
	}
}

func (r *run) undoneChan(step string) chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.undone[step] == nil {
		r.undone[step] = make(chan struct{})
	}
	return r.undone[step]
}

// remoteFault has the faults of a remote step's participant.
func (r *run) remoteFault(c caller) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := "participant:" + c.step + "/do"
	kinds := []Kind{Reject, FailOnce}
	if c.undo {
		id, kinds = "participant:"+c.step+"/undo", []Kind{FailOnce}
	} else if n := declared(r.nodes, c.step); n.Class != "compensatable" {
		kinds = []Kind{FailOnce}
	}
	for _, k := range r.takeLocked(r.placeLocked(id, kinds)) {
		switch k {
		case Reject:
			return saga.Reject("refused (injected)")
		case FailOnce:
			return errInjected
		}
	}
	return nil
}

// durable notes records that are in the journal now.
func (r *run) durable(w saga.Write) {
	if w.Ref.ID != sagaID {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range w.Records {
		if r.stamps[rec.Seq] != 0 {
			continue // written again
		}
		r.stamps[rec.Seq] = r.stampLocked()
		r.noteLocked("  ✎ %s", describe(rec))
		switch rec.Kind {
		case saga.Parked:
			r.parked, r.reason = rec.Node, rec.Reason
		case saga.Resumed, saga.Cancelled:
			r.parked = ""
		case saga.Done:
			if rec.Undo {
				r.undoneLocked(rec.Node)
			}
		case saga.Armed:
			if n := declared(r.nodes, rec.Node); n.Signal != "" {
				r.signalLocked(n)
			}
		}
		if rec.Due.After(r.wakeAt) {
			r.wakeAt = rec.Due
		}
		if rec.End != "" {
			r.outcome = rec.End
		}
	}
	r.look()
}

func describe(rec saga.Record) string {
	what := rec.Kind.String()
	if rec.Node != "" {
		what = rec.Node + " " + what
	}
	if rec.Undo {
		what = "undo of " + what
	}
	if rec.Kind == saga.Branched {
		what += fmt.Sprintf(" %t", rec.Taken)
	}
	if rec.Reason != "" {
		what += ": " + short(rec.Reason)
	}
	if rec.End != "" {
		what += ", saga " + string(rec.End)
	}
	return what
}

func short(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return s
}

// signalLocked sends a signal that the saga now waits for, or does whatever the schedule wants instead.
func (r *run) signalLocked(n saga.NodeInfo) {
	send := r.opts.signals[n.Signal]
	if send == nil || r.sent[n.Name] {
		return
	}
	r.sent[n.Name] = true
	kinds := r.takeLocked(r.placeLocked("signal:"+n.Signal, atSignal))
	pause, times := time.Millisecond, 1
	switch {
	case has(kinds, NoSignal), has(kinds, SignalEarly):
		return
	case has(kinds, SignalLate):
		pause = n.Within + time.Second
	case has(kinds, SignalTwice):
		times = 2
	}
	r.background(func() {
		time.Sleep(pause)
		for range times {
			r.sendSignal(n.Signal, send)
		}
	})
}

func (r *run) sendSignal(name string, send func(context.Context, *saga.Engine) error) {
	r.note("      signal %s is sent", name)
	r.insist(func(e *saga.Engine) error { return send(r.ctx, e) })
}

// insist asks until it is heard: the process may die meanwhile.
func (r *run) insist(ask func(*saga.Engine) error) {
	for range 1000 {
		r.mu.Lock()
		e, f := r.engine, r.front
		r.mu.Unlock()
		if !f.dead.Load() {
			err := ask(e)
			if err == nil || errors.Is(err, saga.ErrFinished) || errors.Is(err, saga.ErrPastPivot) || errors.Is(err, saga.ErrNotFound) {
				return
			}
		}
		select {
		case <-time.After(time.Second):
		case <-r.over:
			return
		}
	}
}

func (r *run) cancelSoon() {
	r.background(func() {
		r.insist(func(e *saga.Engine) error { return e.Cancel(r.ctx, sagaID, "sagatest", "injected") })
	})
}

func (r *run) timeoutOf(step string) time.Duration { return declared(r.nodes, step).Timeout }

// watchInvariants looks at what must always hold, after something changed.
func (r *run) watchInvariants() error {
	r.mu.Lock()
	look := r.changed
	r.changed = false
	r.mu.Unlock()
	if !look {
		return nil
	}
	for _, inv := range r.always {
		if err := inv.holds(); err != nil {
			r.found(Finding{Bug: inv.name, Property: "invariant", Detail: err.Error()})
		}
	}
	return nil
}

func (r *run) found(f Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.findings, func(have Finding) bool { return have.Bug == f.Bug && have.Step == f.Step }) {
		return
	}
	r.findings = append(r.findings, f)
	r.noteLocked("  ✗✗ %s", f)
}
