package security

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a [Limit]; they keep the arithmetic of every limiter exact, in Go and in Redis alike.
const (
	// MaxLimitEvents is the largest Events and the largest Burst.
	MaxLimitEvents = 1_000_000
	// MaxLimitPer is the longest Per.
	MaxLimitPer = 24 * time.Hour
	// MinLimitInterval is the shortest time between two events at the limit's rate. Limiters count in whole
	// microseconds and round up, so a shorter one would cost more than a tenth of the rate.
	MinLimitInterval = 10 * time.Microsecond
	// MaxLimitReset is the longest time that a used-up burst may take to come back.
	MaxLimitReset = 366 * 24 * time.Hour
)

// Limit says how often something may happen: Events in Per on average, and up to Burst at once. The zero value is
// invalid. Limits are comparable.
type Limit struct {
	// Events in Per, 1 to [MaxLimitEvents].
	Events int
	// Per is the time that Events refer to, up to [MaxLimitPer].
	Per time.Duration
	// Burst is how many may come at once after a pause. 0: as many as Events. Up to [MaxLimitEvents].
	Burst int
}

// ParseLimit reads a limit as it is written in route declarations and configuration: "30/min", "10/s burst 20",
// "1000/h". The units are s, min, h and d ("m" is refused, since it could mean a month). The notation is strict: no
// sign, no fraction, no leading zero, exactly one space around "burst". Limit.String writes what ParseLimit reads.
func ParseLimit(s string) (Limit, error) {
	l, err := parseLimit(s)
	if err != nil {
		return Limit{}, fmt.Errorf("security: limit %.40q: %w; write it like \"30/min\" or \"10/s burst 20\"", s, err)
	}
	return l, nil
}

func parseLimit(s string) (Limit, error) {
	rate, burst, hasBurst := strings.Cut(s, " burst ")
	count, unit, ok := strings.Cut(rate, "/")
	if !ok {
		return Limit{}, errors.New("there is no \"/\"")
	}
	events, err := parseCount(count)
	if err != nil {
		return Limit{}, fmt.Errorf("events: %w", err)
	}
	l := Limit{Events: events}
	switch unit {
	case "s":
		l.Per = time.Second
	case "min":
		l.Per = time.Minute
	case "h":
		l.Per = time.Hour
	case "d":
		l.Per = 24 * time.Hour
	default:
		return Limit{}, errors.New("the unit is none of s, min, h, d")
	}
	if hasBurst {
		if l.Burst, err = parseCount(burst); err != nil {
			return Limit{}, fmt.Errorf("burst: %w", err)
		}
	}
	return l, l.Validate()
}

func parseCount(s string) (int, error) {
	if s == "" || len(s) > 7 || s[0] == '0' {
		return 0, errors.New("it is not a number from 1 to 1000000")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("it is not a number from 1 to 1000000")
		}
	}
	return strconv.Atoi(s)
}

// Validate tells everything that is wrong with the limit.
func (l Limit) Validate() error {
	var problems []error
	if l.Events < 1 || l.Events > MaxLimitEvents {
		problems = append(problems, fmt.Errorf("security: limit: Events is %d, allowed is 1 to %d", l.Events, MaxLimitEvents))
	}
	if l.Burst < 0 || l.Burst > MaxLimitEvents {
		problems = append(problems, fmt.Errorf("security: limit: Burst is %d, allowed is 0 to %d", l.Burst, MaxLimitEvents))
	}
	if l.Per <= 0 || l.Per > MaxLimitPer {
		problems = append(problems, fmt.Errorf("security: limit: Per is %v, allowed is up to %v", l.Per, MaxLimitPer))
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	interval := l.Interval()
	if l.Per < time.Duration(l.Events)*MinLimitInterval {
		return fmt.Errorf("security: limit: %d in %v is more than one per %v", l.Events, l.Per, MinLimitInterval)
	}
	if interval.Microseconds()*int64(l.EffectiveBurst()) > MaxLimitReset.Microseconds() {
		return fmt.Errorf("security: limit: a burst of %d at one per %v takes longer than %v to come back",
			l.EffectiveBurst(), interval, MaxLimitReset)
	}
	return nil
}

// IsZero reports whether there is no limit at all.
func (l Limit) IsZero() bool { return l == Limit{} }

// EffectiveBurst is Burst, or Events when Burst is 0.
func (l Limit) EffectiveBurst() int {
	if l.Burst == 0 {
		return l.Events
	}
	return l.Burst
}

// Interval is the time between two events at the limit's rate, rounded up to a whole microsecond so that every limiter
// counts alike. 0 when Events is not positive.
func (l Limit) Interval() time.Duration {
	if l.Events <= 0 {
		return 0
	}
	unit := time.Duration(l.Events) * time.Microsecond
	n := l.Per / unit
	if l.Per%unit != 0 {
		n++
	}
	return n * time.Microsecond
}

// String writes the limit in the notation of [ParseLimit] where Per is one of its units.
func (l Limit) String() string {
	unit := l.Per.String()
	switch l.Per {
	case time.Second:
		unit = "s"
	case time.Minute:
		unit = "min"
	case time.Hour:
		unit = "h"
	case 24 * time.Hour:
		unit = "d"
	}
	s := strconv.Itoa(l.Events) + "/" + unit
	if l.Burst != 0 {
		s += " burst " + strconv.Itoa(l.Burst)
	}
	return s
}

// Limiter counts calls under a key and says whether one more may go through. Implementations are safe for concurrent
// use. Build keys with [EncodeKey], of the route and of who calls, so that two callers never share one by accident.
//
// The error matches [ErrUnavailable] when the call could not be counted and the limiter is declared to fail closed:
// answer 503. A limit that does not validate is an error of its own, and the call is not allowed.
type Limiter interface {
	Allow(ctx context.Context, key string, l Limit) (LimitResult, error)
}

// LimitResult is the answer of a [Limiter]. The zero value refuses.
type LimitResult struct {
	Allowed bool
	// Limit is how many calls may come at once after a pause: the limit's burst.
	Limit int
	// Remaining is how many more may come right now. Never negative.
	Remaining int
	// RetryAfter is how long to wait until one call is allowed, when nobody else uses the key. 0 when Allowed.
	RetryAfter time.Duration
	// ResetAfter is how long until Remaining is back at Limit, when nobody uses the key.
	ResetAfter time.Duration
	// Degraded says that the shared store was away and a local or open decision was taken instead, as declared.
	Degraded bool
}
