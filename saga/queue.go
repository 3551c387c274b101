package saga

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Queue limits how many of the sagas started into it run at once, how fast they begin, and in what order. Its limits hold
// for the whole cluster: one node at a time admits sagas, and the next one goes on with its counts. It is a value that is
// declared once, passed to the engine in [Config.Queues] and to Start by [In]. It is safe for concurrent use.
//
// A queued saga is durable at once and takes no memory; it begins when it is admitted. From then on it holds its place until
// it ends, also while it sleeps, awaits a signal, is compensated or is parked. So the limit is exact whatever is done to a saga
// by hand, the next saga of a key never meets the half of another, and a queue whose sagas all fail comes to a stand instead of
// parking its whole backlog.
type Queue struct {
	name string
	cfg  QueueConfig
}

// QueueConfig limits a queue. The zero value only keeps sagas of one key apart.
//
// The numbers may change from one deployment to the next. At every moment the one node that owns the queue applies its own,
// so while two versions run side by side either the old or the new numbers hold, and the new ones when the old nodes are gone.
// A lower Concurrency stops nobody; it lets sagas end until the number is reached.
type QueueConfig struct {
	// Concurrency is how many sagas of the queue may have begun and not ended. Default 0: any number.
	Concurrency int
	// Rate bounds how many sagas begin in a time. In any span t at most Burst + t·N/Every begin, also when the owner of the
	// queue changes in between. Default: no bound.
	Rate Rate
	// Burst is how many may begin at once after a pause. Default: what Rate gives in 100 ms, at least 1.
	Burst int
	// Aging is how much longer waiting outweighs one level of priority: a saga is overtaken by one of a priority p levels
	// higher only if that came less than p·Aging later. So no saga starves. Default 1 min, at most 24 h.
	Aging time.Duration
}

// Rate is a number of events in a time; see [Per].
type Rate struct {
	N     int
	Every time.Duration
}

// Per makes a rate: Per(100, time.Second).
func Per(n int, every time.Duration) Rate { return Rate{n, every} }

// MaxPriority bounds what [Place.Priority] takes in either direction.
const MaxPriority = 1000

// NewQueue declares a queue. The name is its identity in the store: 1 to 150 bytes, without "@" and control characters.
// Invalid values are reported by [Queue.Err] and by [New].
func NewQueue(name string, cfg QueueConfig) *Queue {
	if cfg.Aging == 0 {
		cfg.Aging = time.Minute
	}
	if cfg.Burst == 0 && cfg.Rate.Every > 0 {
		cfg.Burst = max(1, int(float64(cfg.Rate.N)*float64(100*time.Millisecond)/float64(cfg.Rate.Every)))
	}
	return &Queue{name, cfg}
}

// Name is the queue's name.
func (q *Queue) Name() string { return q.name }

// Err joins every reason for which the queue cannot be used.
func (q *Queue) Err() error {
	var errs []error
	if err := checkRoomName(q.name); err != nil {
		errs = append(errs, err)
	}
	if q.cfg.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("concurrency %d is negative", q.cfg.Concurrency))
	}
	rate := q.cfg.Rate
	switch {
	case rate == Rate{}:
		if q.cfg.Burst != 0 {
			errs = append(errs, errors.New("a burst needs a rate"))
		}
	case rate.N < 1 || rate.Every < time.Millisecond:
		errs = append(errs, fmt.Errorf("rate of %d in %s must be at least 1 in a time of at least 1 ms", rate.N, rate.Every))
	case rate.Every/time.Duration(rate.N) < time.Microsecond:
		errs = append(errs, fmt.Errorf("rate of %d in %s is more than one in a microsecond", rate.N, rate.Every))
	case q.cfg.Burst < 1:
		errs = append(errs, fmt.Errorf("burst %d is negative", q.cfg.Burst))
	}
	if q.cfg.Aging < time.Millisecond || q.cfg.Aging > 24*time.Hour {
		errs = append(errs, fmt.Errorf("aging %s is not between 1 ms and 24 h", q.cfg.Aging))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("saga: queue %q: %w", q.name, err)
	}
	return nil
}

// checkRoomName judges the name of a queue or a schedule, which is part of the kind of its lane.
func checkRoomName(name string) error {
	if name == "" || len(name) > 150 {
		return errors.New("the name must have 1 to 150 bytes")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r == '@' || r < ' ' || r == 0x7f }) {
		return errors.New(`the name must not contain "@" or control characters`)
	}
	if !isText(name) {
		return errors.New("the name must be UTF-8")
	}
	return nil
}

// kind names the queue's lane.
func (q *Queue) kind() string { return "queue/" + q.name }

func (q *Queue) limits() QueueLimits {
	l := QueueLimits{Queue: q.name, Concurrency: q.cfg.Concurrency}
	if q.cfg.Rate.N > 0 {
		n := time.Duration(q.cfg.Rate.N)
		l.Interval, l.Burst = (q.cfg.Rate.Every+n-1)/n, q.cfg.Burst
	}
	return l
}
