// Package cron reads cron expressions and tells when they are due. It is pure: no clock, no state, no panic.
//
// An expression has five fields, minute hour day-of-month month day-of-week, each a list of numbers, ranges (1-5), steps of a
// range (10-40/10, */15) or "*"; months and days of the week also by their English names of three letters, and Sunday is 0 or
// 7. If both days are restricted, either suffices; a field that begins with "*" restricts nothing in this sense. The words
// @yearly (@annually), @monthly, @weekly, @daily (@midnight) and @hourly stand for the usual five fields.
//
// When clocks are changed, an expression whose hour field is "*" goes on with the time that passes: it is about the minutes of
// every hour, of the hour that comes twice as well. Any other names times of the day, each of which comes once a day: one that
// the clocks skip comes at the moment of the change, and one that they repeat comes the first time.
package cron

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Expression says when something is due. It is immutable.
type Expression struct {
	text                            string
	minute, hour, dom, month, dow   uint64 // sets of bits
	everyHour, anyOfDays, sometimes bool
}

// field describes one of the five.
type field struct {
	name     string
	low, top int
	names    string // of three letters each, from low on
}

var fields = [5]field{
	{"minute", 0, 59, ""},
	{"hour", 0, 23, ""},
	{"day of the month", 1, 31, ""},
	{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of the week", 0, 7, "sunmontuewedthufrisat"},
}

func word(w string) string {
	switch w {
	case "@yearly", "@annually":
		return "0 0 1 1 *"
	case "@monthly":
		return "0 0 1 * *"
	case "@weekly":
		return "0 0 * * 0"
	case "@daily", "@midnight":
		return "0 0 * * *"
	case "@hourly":
		return "0 * * * *"
	}
	return ""
}

// Parse reads an expression. The error joins everything that is wrong with it.
func Parse(text string) (Expression, error) {
	parts := strings.Fields(text)
	x := Expression{text: strings.Join(parts, " ")}
	if len(parts) == 1 {
		parts = strings.Fields(word(strings.ToLower(parts[0])))
	}
	if len(parts) != len(fields) {
		return Expression{}, fmt.Errorf("cron: %.100q is neither five fields (minute hour day-of-month month day-of-week) nor one of "+
			"@hourly, @daily, @weekly, @monthly, @yearly", text)
	}
	var errs []error
	for i, to := range []*uint64{&x.minute, &x.hour, &x.dom, &x.month, &x.dow} {
		set, err := fields[i].parse(strings.ToLower(parts[i]))
		if err != nil {
			errs = append(errs, fmt.Errorf("cron: %.100q: %s: %w", text, fields[i].name, err))
		}
		*to = set
	}
	if len(errs) > 0 {
		return Expression{}, errors.Join(errs...)
	}
	x.dow = (x.dow | x.dow>>7) & (1<<7 - 1)
	x.everyHour = parts[1] == "*"
	x.anyOfDays = parts[2][0] != '*' && parts[4][0] != '*'
	if !x.anyOfDays && !x.possible() {
		return Expression{}, fmt.Errorf("cron: %.100q: none of the months has such a day", text)
	}
	x.sometimes = true
	return x, nil
}

// possible reports whether one of the months has one of the days.
func (x Expression) possible() bool {
	for m := 1; m <= 12; m++ {
		days := time.Date(2000, time.Month(m+1), 0, 0, 0, 0, 0, time.UTC).Day() // of a leap year
		if has(x.month, m) && x.dom&(1<<(days+1)-1) != 0 {
			return true
		}
	}
	return false
}

func (f field) parse(text string) (set uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		one, err := f.part(part)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

func (f field) part(text string) (set uint64, err error) {
	spread, stepText, stepped := strings.Cut(text, "/")
	from, to, step := f.low, f.top, 1
	if f.top == 7 && spread == "*" {
		to = 6
	}
	if spread != "*" {
		first, last, isRange := strings.Cut(spread, "-")
		if from, err = f.number(first); err != nil {
			return 0, err
		}
		switch to = from; {
		case isRange:
			if to, err = f.number(last); err != nil {
				return 0, err
			}
		case stepped:
			return 0, fmt.Errorf("%.20q: a step needs a range or *", text)
		}
	}
	if to < from {
		return 0, fmt.Errorf("%.20q: the range ends before it begins", text)
	}
	if stepped {
		if step, err = digits(stepText); err != nil || step < 1 || step > f.top {
			return 0, fmt.Errorf("%.20q: the step is not between 1 and %d", text, f.top)
		}
	}
	for n := from; n <= to; n += step {
		set |= 1 << n
	}
	return set, nil
}

func (f field) number(text string) (int, error) {
	if i := strings.Index(f.names, text); len(text) == 3 && i >= 0 && i%3 == 0 {
		return f.low + i/3, nil
	}
	n, err := digits(text)
	if err != nil || n < f.low || n > f.top {
		return 0, fmt.Errorf("%.20q is not between %d and %d", text, f.low, f.top)
	}
	return n, nil
}

// digits reads a number without a sign.
func digits(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err
}

// String is the expression as it was written, with single spaces.
func (x Expression) String() string { return x.text }

func has(set uint64, n int) bool { return set>>n&1 == 1 }

// horizon bounds the search for the next time: longer than between two 29ths of February.
const horizon = 9 * 366

// Next is the first time after the given one at which the expression is due in loc; zero for the zero Expression.
func (x Expression) Next(after time.Time, loc *time.Location) time.Time {
	if !x.sometimes {
		return time.Time{}
	}
	if x.everyHour {
		return x.nextPassing(after, loc)
	}
	// What a clock on the wall shows, as if it were UTC, and the moment at which it shows it, grow together. So the first reading
	// whose moment is later is the next one.
	for wall := floor(reading(after, loc)); ; {
		if wall = x.match(wall.Add(time.Minute)); wall.IsZero() {
			return time.Time{}
		}
		if at := moment(wall, loc); at.After(after) {
			return at
		}
	}
}

// nextPassing goes through the stretches between changes of the clock, each with its own offset.
func (x Expression) nextPassing(after time.Time, loc *time.Location) time.Time {
	wall := floor(reading(after, loc)).Add(time.Minute)
	for range horizon {
		_, offset := after.In(loc).Zone()
		wall = x.match(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		at := wall.Add(-time.Duration(offset) * time.Second)
		_, end := after.In(loc).ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at.In(loc)
		}
		after = end
		if wall = reading(end, loc); !floor(wall).Equal(wall) {
			wall = floor(wall).Add(time.Minute)
		}
	}
	return time.Time{}
}

// reading is what a clock on the wall shows, as if it were UTC.
func reading(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

func floor(t time.Time) time.Time { return t.Truncate(time.Minute) }

// moment is when the clock first shows this, or skips it.
func moment(wall time.Time, loc *time.Location) time.Time {
	near := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, loc)
	start, end := near.ZoneBounds()
	var first time.Time
	for _, t := range []time.Time{near, start.Add(-1), end} {
		_, offset := t.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(loc)
		if reading(at, loc).Equal(wall) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		return first
	}
	for _, change := range []time.Time{start, end} {
		if !change.IsZero() && reading(change.Add(-1), loc).Before(wall) && wall.Before(reading(change, loc)) {
			return change.In(loc)
		}
	}
	return near
}

// match is the first reading, from the given one on, that fits; zero if there is none for many years.
func (x Expression) match(wall time.Time) time.Time {
	for range horizon {
		if !has(x.month, int(wall.Month())) {
			wall = time.Date(wall.Year(), wall.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		}
		if x.day(wall) {
			if minute := x.minuteOfDay(wall.Hour(), wall.Minute()); minute >= 0 {
				return time.Date(wall.Year(), wall.Month(), wall.Day(), 0, minute, 0, 0, time.UTC)
			}
		}
		wall = time.Date(wall.Year(), wall.Month(), wall.Day()+1, 0, 0, 0, 0, time.UTC)
	}
	return time.Time{}
}

func (x Expression) day(wall time.Time) bool {
	dom, dow := has(x.dom, wall.Day()), has(x.dow, int(wall.Weekday()))
	if x.anyOfDays {
		return dom || dow
	}
	return dom && dow
}

// minuteOfDay is the first from the given time on, or -1.
func (x Expression) minuteOfDay(hour, minute int) int {
	if has(x.hour, hour) {
		if rest := x.minute >> minute; rest != 0 {
			return hour*60 + minute + bits.TrailingZeros64(rest)
		}
	}
	if rest := x.hour >> (hour + 1); rest != 0 {
		return (hour+1+bits.TrailingZeros64(rest))*60 + bits.TrailingZeros64(x.minute)
	}
	return -1
}
