package ratelimit

import (
	"container/list"
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/marty-framework/mmf/security"
)

const (
	defaultMaxKeys = 100_000
	maxMaxKeys     = 10_000_000
	localShards    = 32
	// sweep is how many keys at the end of the line are looked at when a key is added.
	sweep = 2
)

// LocalConfig is the configuration of [Local]; its zero value is usable.
type LocalConfig struct {
	// MaxKeys is how many keys are held at most, at about 200 bytes each plus the key's own text (of up to 129 bytes).
	// Default: 100 000. Range: 1 to 10 000 000.
	MaxKeys int
}

// Local counts in the process. It is safe for concurrent use, starts no goroutine and needs no closing.
type Local struct {
	began  time.Time // monotonic origin of all times below
	seed   maphash.Seed
	shards []shard
}

var _ security.Limiter = (*Local)(nil)

type shard struct {
	mu      sync.Mutex
	max     int
	entries map[string]*list.Element
	order   *list.List // of *entry; the one used last is in front
}

type entry struct {
	key string
	tat int64 // µs since Local.began
}

// NewLocal makes a limiter without any key.
func NewLocal(cfg LocalConfig) (*Local, error) {
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = defaultMaxKeys
	}
	if cfg.MaxKeys < 1 || cfg.MaxKeys > maxMaxKeys {
		return nil, fmt.Errorf("ratelimit: MaxKeys is %d, allowed is 1 to %d", cfg.MaxKeys, maxMaxKeys)
	}
	n := localShards
	if cfg.MaxKeys < 100*localShards {
		n = 1 // so few that dividing them would be felt
	}
	l := &Local{began: time.Now(), seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range l.shards {
		l.shards[i] = shard{max: cfg.MaxKeys / n, entries: map[string]*list.Element{}, order: list.New()}
	}
	return l, nil
}

// Allow counts one call under key. The error is that of an invalid limit; the call is not allowed then.
func (l *Local) Allow(ctx context.Context, key string, limit security.Limit) (security.LimitResult, error) {
	return l.AllowN(ctx, key, limit, 1)
}

// AllowN counts n calls at once, all or none. With n = 0 nothing is counted: the result tells how the key stands, and
// Allowed whether one more call would be allowed. A negative n, or one beyond the limit's burst, is an error.
func (l *Local) AllowN(_ context.Context, key string, limit security.Limit, n int) (security.LimitResult, error) {
	c, err := prepare(limit, n)
	if err != nil {
		return security.LimitResult{}, err
	}
	key = compact(key)
	s := &l.shards[maphash.String(l.seed, key)%uint64(len(l.shards))]
	allowed, ahead := s.count(c, key, int64(n), l.now)
	return c.result(allowed, ahead, int64(n)), nil
}

// Len is how many keys are held.
func (l *Local) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

func (l *Local) now() int64 { return time.Since(l.began).Microseconds() }

func (s *shard) count(c cell, key string, cost int64, clock func() int64) (allowed bool, ahead int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Inside the lock, so that the times of one key never run backwards.
	now := clock()
	element, held := s.entries[key]
	var tat int64
	if held {
		tat = element.Value.(*entry).tat
	}
	allowed, store, ahead := c.advance(now, tat, cost)
	switch {
	case held:
		if store {
			element.Value.(*entry).tat = now + ahead
		}
		s.order.MoveToFront(element)
	case store:
		s.makeRoomLocked(now)
		s.entries[key] = s.order.PushFront(&entry{key: key, tat: now + ahead})
	}
	return allowed, ahead
}

// makeRoomLocked drops keys at the end of the line that are as good as fresh, and one that is not if the shard is full.
func (s *shard) makeRoomLocked(now int64) {
	for i := range sweep {
		oldest := s.order.Back()
		if oldest == nil {
			return
		}
		e := oldest.Value.(*entry)
		if e.tat > now && (i > 0 || len(s.entries) < s.max) {
			return
		}
		s.order.Remove(oldest)
		delete(s.entries, e.key)
	}
}
