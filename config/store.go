package config

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/config/internal/watch"
)

// Store holds the running settings. It is safe for concurrent use.
type Store[T any] struct {
	loader  *loader
	current atomic.Pointer[snapshot[T]]

	// turn is held, as a token, by the one reload at a time; a channel, so that waiting obeys a context.
	turn    chan struct{}
	running atomic.Bool
	digest  watch.Digest // of the contents of the last attempt; guarded by turn

	mu      sync.Mutex
	nextID  int
	votes   []subscription[func(old, next T) error]
	changes []subscription[func(old, next T)]
	history []Reload

	swapMu sync.Mutex // guards the exchange of current, and views
	views  []func(T) any
}

type subscription[F any] struct {
	id int
	f  F
}

// snapshot is one generation; it never changes.
type snapshot[T any] struct {
	Snapshot[T]
	settings []Setting
	views    []any
}

// Snapshot is the settings of one moment.
type Snapshot[T any] struct {
	// Value is shared: do not change what its slices and maps hold.
	Value T
	// Generation is 1 after Load and grows by one with each applied reload.
	Generation uint64
	// At is when the generation began.
	At time.Time
}

// Load reads all sources over the defaults, checks and validates, and returns a store, or an [*Error] with all problems.
// It starts nothing: see [Store.Run]. A type T that cannot be filled is an error too.
func Load[T any](ctx context.Context, defaults T, options Options) (*Store[T], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	if options.Environ == nil {
		options.Environ = environ()
	}
	s, err := schemaOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	l := &loader{schema: s, options: options}
	l.defaults = s.copyValue(reflect.ValueOf(defaults)) // the caller may change its maps later
	contents, digest := watch.Read(options.paths(), options.MaxFileBytes)
	first, err := l.build(contents)
	if err != nil {
		return nil, err
	}
	store := &Store[T]{loader: l, turn: make(chan struct{}, 1), digest: digest}
	store.current.Store(&snapshot[T]{
		Snapshot: Snapshot[T]{Value: valueOf[T](first.value), Generation: 1, At: time.Now()},
		settings: s.settings(first.value, "", first.tree),
	})
	return store, nil
}

func valueOf[T any](v reflect.Value) T {
	value, _ := v.Interface().(T)
	return value
}

// Get returns the running settings: one atomic load. Read several keys from one result, so that they are of one
// generation. Do not change what its slices and maps hold.
func (s *Store[T]) Get() T { return s.current.Load().Value }

// Current returns the running settings with their generation.
func (s *Store[T]) Current() Snapshot[T] { return s.current.Load().Snapshot }

// Origins lists every key of the running settings with its value, secrets redacted, and where it comes from, ordered by key.
func (s *Store[T]) Origins() []Setting { return slices.Clone(s.current.Load().settings) }

// Subscribe lets vote decide about each reload that changes a value, before it is applied: an error, or a panic, refuses
// it whole. Votes must not have effects, since a later vote can still refuse; see [Store.OnChange]. They run one after
// the other in the goroutine that reloads and must not call Reload. The returned function ends the subscription.
func (s *Store[T]) Subscribe(vote func(old, next T) error) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	id := s.nextID
	s.votes = append(s.votes, subscription[func(old, next T) error]{id, vote})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.votes = slices.DeleteFunc(slices.Clone(s.votes), func(v subscription[func(old, next T) error]) bool { return v.id == id })
	}
}

// OnChange calls f after each reload that changed a value, in the goroutine that reloads. f must not call Reload. The
// returned function ends the subscription.
func (s *Store[T]) OnChange(f func(old, next T)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID++
	id := s.nextID
	s.changes = append(s.changes, subscription[func(old, next T)]{id, f})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changes = slices.DeleteFunc(slices.Clone(s.changes), func(v subscription[func(old, next T)]) bool { return v.id == id })
	}
}

// Run follows the files until ctx is done, then returns nil. Only one Run at a time; a second returns an error. Without
// files it only waits.
func (s *Store[T]) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("config: Run is running already")
	}
	defer s.running.Store(false)
	o := s.loader.options
	if len(o.Files) == 0 {
		<-ctx.Done()
		return nil
	}
	if !s.takeTurn(ctx) {
		return nil
	}
	last := s.digest
	s.leaveTurn()
	return watch.Run(ctx, o.paths(), watch.Options{
		MaxBytes: o.MaxFileBytes, Debounce: o.Debounce, Poll: o.Poll, Degraded: o.Hooks.WatchDegraded,
	}, last, func(ctx context.Context, contents []watch.Content, digest watch.Digest) {
		if !s.takeTurn(ctx) {
			return
		}
		defer s.leaveTurn()
		if digest != s.digest { // else Reload was here first
			s.digest = digest
			_ = s.apply(contents) // told through Reloads and Hooks
		}
	})
}

func (s *Store[T]) takeTurn(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Store[T]) leaveTurn() { <-s.turn }
