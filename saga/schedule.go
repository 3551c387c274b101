package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/marty-framework/mmf/internal/cron"
)

// Schedule starts sagas of a definition at the times of a cron expression, each of them once however many processes run. It is
// declared once and passed to the engine in [Config.Schedules]. It is immutable; its methods return changed copies.
//
// A saga's id is made of the schedule's name and its time in UTC, as in "nightly-report/2026-11-22T03:00:00Z". It is created in
// the transaction that notes its time as done, by the database's clock, by the one node that owns the schedule; so it neither
// starts twice nor gets lost, and is late by at most [Config.TTL] when that node dies. The first time is the first one after a
// process with the schedule began to run.
//
// The owner applies the expression that it was declared with. With the first owner of another version of the service a new
// expression holds from that moment on, and nothing is made up for it; while versions run side by side, either holds.
type Schedule struct {
	name    string
	text    string
	cron    cron.Expression
	loc     *time.Location
	catchUp CatchUp
	alone   bool
	options []StartOption
	def     *shape
	problem error
	write   func(ctx context.Context, e *Engine, at time.Time) (Write, error)
}

// CatchUp says what happens to times that passed while no process ran the schedule.
type CatchUp int

const (
	// CatchUpLatest starts one saga for the latest of them.
	CatchUpLatest CatchUp = iota
	// CatchUpAll starts a saga for each, the oldest first, but not more than the latest 1,000.
	CatchUpAll
	// CatchUpNone starts none. A time counts as missed when it comes later than a minute, or twice the TTL if that is longer.
	CatchUpNone
)

// String names the policy.
func (c CatchUp) String() string {
	switch c {
	case CatchUpLatest:
		return "latest"
	case CatchUpAll:
		return "all"
	case CatchUpNone:
		return "none"
	}
	return fmt.Sprintf("CatchUp(%d)", int(c))
}

// maxCaughtUp is how many times [CatchUpAll] makes up at most; startsPerTx of them in one transaction.
const (
	maxCaughtUp = 1000
	startsPerTx = 100
)

// NewSchedule declares a schedule. The name is its identity in the store: 1 to 150 bytes, without "@" and control characters.
// Input makes the input of the saga of a time, which is given in the schedule's location; it must depend on nothing else.
// Invalid values are reported by [Schedule.Err] and by [New].
//
// The expression has five fields, minute hour day-of-month month day-of-week, of numbers, names (JAN, MON), lists, ranges and
// steps, or is one of @hourly, @daily, @weekly, @monthly and @yearly. If both days are restricted, either suffices. When clocks
// change, a time of the day that they skip comes at the change, and one that they repeat comes the first time; an expression
// whose hour is "*" goes on with the time that passes.
func NewSchedule[S any](name, expression string, def *Def[S], input func(at time.Time) S) *Schedule {
	s := &Schedule{name: name, text: expression, loc: time.UTC}
	x, err := cron.Parse(expression)
	s.cron, s.problem = x, errors.Join(checkRoomName(name), err)
	if def == nil || input == nil {
		s.problem = errors.Join(s.problem, errors.New("the definition or the input is nil"))
		return s
	}
	s.def = &def.shape
	s.write = func(ctx context.Context, e *Engine, at time.Time) (Write, error) {
		return def.firstWrite(ctx, e, s.ID(at), input(at), nil)
	}
	return s
}

func (s *Schedule) with(change func(*Schedule)) *Schedule {
	c := *s
	change(&c)
	return &c
}

// In gives the expression's times of day in a location. Default: UTC.
func (s *Schedule) In(loc *time.Location) *Schedule {
	return s.with(func(c *Schedule) {
		if c.loc = loc; loc == nil {
			c.loc, c.problem = time.UTC, errors.Join(c.problem, errors.New("the location is nil"))
		}
	})
}

// CatchUp says what happens to times that were missed. Default: [CatchUpLatest].
func (s *Schedule) CatchUp(policy CatchUp) *Schedule {
	return s.with(func(c *Schedule) { c.catchUp = policy })
}

// NoOverlap skips a time while the saga that the schedule started last has not ended, even if it is parked. It excludes
// [CatchUpAll]; to run what was missed one after the other, start it into a queue with a key: Options(In(queue).Key("k")).
func (s *Schedule) NoOverlap() *Schedule { return s.with(func(c *Schedule) { c.alone = true }) }

// Options apply to every start, after those given before.
func (s *Schedule) Options(opts ...StartOption) *Schedule {
	return s.with(func(c *Schedule) { c.options = slices.Concat(c.options, opts) })
}

// Name is the schedule's name.
func (s *Schedule) Name() string { return s.name }

// ID is the id of the saga that the schedule starts for a time.
func (s *Schedule) ID(at time.Time) ID { return ID(s.name + "/" + at.UTC().Format(time.RFC3339)) }

// Next is the first time after the given one, in the schedule's location; zero if the expression is invalid.
func (s *Schedule) Next(after time.Time) time.Time { return s.cron.Next(after, s.loc) }

// Err joins every reason for which the schedule cannot be used.
func (s *Schedule) Err() error {
	err := s.problem
	if s.catchUp < CatchUpLatest || s.catchUp > CatchUpNone {
		err = errors.Join(err, fmt.Errorf("%s is no policy for catching up", s.catchUp))
	}
	if s.alone && s.catchUp == CatchUpAll {
		err = errors.Join(err, errors.New("it cannot both catch up with all times and skip those that overlap; use a queue with a key instead"))
	}
	if err != nil {
		return fmt.Errorf("saga: schedule %q: %w", s.name, err)
	}
	return nil
}

const schedulePrefix = "schedule/"

// kind names the schedule's lane.
func (s *Schedule) kind() string { return schedulePrefix + s.name }

// expression is what a store remembers of when the schedule is due.
func (s *Schedule) expression() string { return s.cron.String() + " " + s.loc.String() }

// due is what is to be done about the times that came.
type due struct {
	start   []time.Time // in order
	skip    int         // how many before them, or instead of them
	skipped time.Time   // the last of those
	more    bool        // others remain for the next transaction
}

// last is the last time that is dealt with, zero if none came.
func (d due) last() time.Time {
	if n := len(d.start); n > 0 {
		return d.start[n-1]
	}
	return d.skipped
}

// due finds what came after the mark and up to now. What comes late by no more than the grace was not missed.
func (s *Schedule) due(mark, now time.Time, grace time.Duration) (d due) {
	keep := 1
	if s.catchUp == CatchUpAll {
		keep = maxCaughtUp
	}
	for at := s.Next(mark); !at.IsZero() && !at.After(now); at = s.Next(at) {
		if d.start = append(d.start, at); len(d.start) > keep {
			d.skipped, d.start = d.start[0], d.start[1:]
			d.skip++
		}
	}
	if n := len(d.start); n == 1 && s.catchUp == CatchUpNone && now.Sub(d.start[0]) > grace {
		return due{skip: d.skip + 1, skipped: d.start[0]}
	}
	if len(d.start) > startsPerTx {
		d.start, d.more = d.start[:startsPerTx], true
	}
	return d
}

func scheduleName(kind string) string { return strings.TrimPrefix(kind, schedulePrefix) }
