package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/data"
)

func (e *Engine) addSchedules() error {
	e.schedules = map[string]*Schedule{}
	var errs []error
	for _, s := range e.cfg.Schedules {
		if s == nil {
			errs = append(errs, errors.New("saga: a schedule is nil"))
			continue
		}
		if e.schedules[s.kind()] != nil {
			errs = append(errs, fmt.Errorf("saga: schedule %q is declared twice", s.name))
		}
		errs = append(errs, s.Err())
		if s.def != nil && e.defs[s.def.kind()] != s.def {
			errs = append(errs, fmt.Errorf("saga: schedule %q: %w: %s", s.name, ErrNotRegistered, s.def.kind()))
		}
		for _, o := range s.options {
			if err := o.applyStart(e, &Write{Records: make([]Record, 1)}); err != nil {
				errs = append(errs, fmt.Errorf("saga: schedule %q: %w", s.name, err))
			}
		}
		e.schedules[s.kind()] = s
		e.rooms = append(e.rooms, DefInfo{Kind: s.kind(), Fingerprint: "schedule", Lanes: 1}) // its expression may change
	}
	if _, ok := e.store.(ScheduleStore); !ok && len(e.schedules) > 0 && e.store != nil {
		errs = append(errs, fmt.Errorf("saga: a store of type %T has no schedules", e.store))
	}
	return errors.Join(errs...)
}

// relook is how often an owner looks at least, because the database's clock may be set.
const relook = time.Minute

// look is when a lane's schedule is to be looked at, by this process's monotonic clock.
type look struct {
	epoch int64
	at    time.Time
}

// scheduleLoop starts what this node's schedules ask for.
func (w *worker) scheduleLoop() {
	store, ok := w.e.store.(ScheduleStore)
	if !ok || len(w.e.schedules) == 0 {
		return
	}
	looks := map[int64]look{}
	for {
		wait := w.e.cfg.TTL / 5 // lanes come and go
		for _, lane := range w.roomLanes(func(kind string) bool { return w.e.schedules[kind] != nil }) {
			l := looks[lane.ID]
			if l.epoch != lane.Epoch || time.Until(l.at) <= 0 {
				l = look{lane.Epoch, time.Now().Add(w.runSchedule(store, lane))}
				looks[lane.ID] = l
			}
			wait = min(wait, time.Until(l.at))
		}
		select {
		case <-w.ctx.Done():
			return
		case <-w.plan:
		case <-time.After(wait):
		}
	}
}

// runSchedule starts what is due, and returns after what time to look again.
func (w *worker) runSchedule(store ScheduleStore, lane Lane) time.Duration {
	f := firing{w: w, e: w.e, s: w.e.schedules[lane.Kind], store: store, lane: lane, taken: map[ID]UID{}}
	for {
		if !w.mayStart() || !w.open(lane.ID) {
			return w.e.cfg.TTL / 5
		}
		ctx, cancel := context.WithTimeout(w.ctx, w.e.cfg.TTL/2)
		more, err := f.fire(ctx)
		cancel()
		switch {
		case errors.Is(err, ErrFenced):
			return w.e.cfg.TTL / 5
		case err != nil && w.ctx.Err() == nil:
			w.e.fail(w.ctx, fmt.Errorf("saga: schedule %q: %w", f.s.name, err))
			return w.e.cfg.TTL / 5
		case !more:
			return min(max(f.next.Sub(f.now), time.Millisecond), relook)
		}
	}
}

// firing is what one look at a schedule does.
type firing struct {
	w     *worker
	e     *Engine
	s     *Schedule
	store ScheduleStore
	lane  Lane
	taken map[ID]UID // ids that somebody else used

	// Of the current transaction.
	now, next time.Time
	due       due
	overlaps  ID
	begun     []func(error)
	writes    []Write
}

// fire does what is due in one transaction. If it stops before the commit nothing has happened; after it, the mark says so.
func (f *firing) fire(ctx context.Context) (more bool, err error) {
	err = f.e.store.DB().InTx(ctx, func(ctx context.Context, tx data.Tx) error {
		f.due, f.overlaps, f.begun, f.writes = due{}, "", f.begun[:0], f.writes[:0]
		state, now, err := f.store.TakeSchedule(ctx, tx, f.w.lease, f.lane, f.s.name)
		if err != nil {
			return err
		}
		f.now, f.next = now, f.s.Next(now)
		if state.Expression != f.s.expression() { // what it missed is not made up: it did not hold then
			state.Expression, state.Mark = f.s.expression(), now
			return f.store.KeepSchedule(ctx, tx, state)
		}
		if state.Paused {
			return nil
		}
		return f.carryOut(ctx, tx, state)
	})
	for _, done := range f.begun {
		done(err)
	}
	var clash *clashError
	if errors.As(err, &clash) {
		ref, err := f.e.store.Lookup(ctx, clash.id)
		f.taken[clash.id] = ref.UID
		return true, err
	}
	if err != nil {
		return false, err
	}
	if len(f.writes) > 0 {
		f.e.announce(0)
		for _, write := range f.writes {
			f.e.queued(write)
		}
	}
	f.tellSkipped(ctx)
	return f.due.more, nil
}

// clashError says that the id of a time is taken. The transaction must be rolled back, so the next one leaves it out.
type clashError struct{ id ID }

func (c *clashError) Error() string { return fmt.Sprintf("the id %q is taken", c.id) }

func (f *firing) carryOut(ctx context.Context, tx data.Tx, state ScheduleState) error {
	f.due = f.s.due(state.Mark, f.now, max(time.Minute, 2*f.e.cfg.TTL))
	last := f.due.last()
	if last.IsZero() {
		return nil
	}
	if n := len(f.due.start); f.s.alone && state.Live && n > 0 {
		f.overlaps = f.s.ID(state.Last)
		f.due = due{skip: f.due.skip + n, skipped: last}
	}
	for _, at := range f.due.start {
		write, err := f.start(ctx, tx, at)
		if err != nil {
			return err
		}
		state.Last, state.LastSaga = at, write.Ref.UID
	}
	state.Mark, state.Skipped = last, state.Skipped+f.due.skip
	return f.store.KeepSchedule(ctx, tx, state)
}

// start creates the saga of a time, unless its id is taken.
func (f *firing) start(ctx context.Context, tx data.Tx, at time.Time) (Write, error) {
	id := f.s.ID(at)
	if uid, ok := f.taken[id]; ok {
		return Write{Ref: Ref{UID: uid}}, nil
	}
	ctx, done := f.e.starting(ctx, f.s.def, id)
	f.begun = append(f.begun, done)
	write, err := f.s.firstWrite(ctx, f.e, at)
	if err != nil {
		return Write{}, err
	}
	err = f.e.journal.Create(ctx, tx, write)
	if errors.Is(err, ErrConflict) {
		return Write{}, &clashError{id}
	}
	f.writes = append(f.writes, write)
	return write, err
}

// firstWrite survives an input function that panics.
func (s *Schedule) firstWrite(ctx context.Context, e *Engine, at time.Time) (w Write, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the input of %s panicked: %v", at.Format(time.RFC3339), p)
		}
	}()
	w, err = s.write(ctx, e, at)
	for _, o := range s.options {
		if err == nil {
			err = o.applyStart(e, &w)
		}
	}
	return w, err
}

func (f *firing) tellSkipped(ctx context.Context) {
	if f.due.skip == 0 {
		return
	}
	ev := ScheduleEvent{Schedule: f.s.name, At: f.due.skipped, Times: f.due.skip, Reason: "no process ran the schedule"}
	switch {
	case f.overlaps != "":
		ev.Reason = fmt.Sprintf("%s has not ended", f.overlaps)
	case f.s.catchUp == CatchUpAll:
		f.e.fail(ctx, fmt.Errorf("saga: schedule %q: %d times up to %s were missed and are not made up: the limit is %d",
			f.s.name, ev.Times, ev.At.Format(time.RFC3339), maxCaughtUp))
	}
	if h := f.e.cfg.Hooks.Skipped; h != nil {
		h(ctx, ev)
	}
}
