package flags

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/marty-framework/mmf/config/internal/watch"
)

// Set holds the flags. It is safe for concurrent use; an evaluation sees one generation of them.
type Set struct {
	options Options
	state   atomic.Pointer[state]

	turn    chan struct{} // held, as a token, by the one reload at a time
	running atomic.Bool
	digest  watch.Digest // of the contents of the last attempt; guarded by turn

	mu        sync.Mutex // serialises changes of overrides
	overrides atomic.Pointer[map[string]override]
}

// state is one generation; it never changes.
type state struct {
	generation uint64
	flags      map[string]*definition
}

type override struct {
	variant string
	until   time.Time
}

// Load reads and validates all sources. It starts nothing: see [Set.Run]. The error joins all problems, with file, line
// and flag; a missing file matches [io/fs.ErrNotExist].
func Load(ctx context.Context, options Options) (*Set, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, err
	}
	s := &Set{options: options, turn: make(chan struct{}, 1)}
	s.overrides.Store(&map[string]override{})
	contents, digest := watch.Read(options.Files, options.MaxFileBytes)
	flags, err := s.build(contents)
	if err != nil {
		return nil, err
	}
	s.digest = digest
	s.state.Store(&state{generation: 1, flags: flags})
	return s, nil
}

func (s *Set) build(contents []watch.Content) (map[string]*definition, error) {
	all := map[string]*definition{}
	var problems []error
	if s.options.Data != nil {
		flags, err := parse("Options.Data", s.options.Data)
		problems = append(problems, err)
		maps.Copy(all, flags)
	}
	for _, c := range contents {
		if c.Err != nil {
			problems = append(problems, fmt.Errorf("flags: %s: %w", c.Path, c.Err))
			continue
		}
		flags, err := parse(c.Path, c.Data)
		problems = append(problems, err)
		maps.Copy(all, flags)
	}
	return all, errors.Join(problems...)
}

// Flag describes a flag for consoles and endpoints.
type Flag struct {
	Key     string
	Enabled bool
	// Type is boolean, string, number or object.
	Type string
	// Variants are the names in order.
	Variants []string
	// DefaultVariant is empty when the flag names none.
	DefaultVariant string
	// Targeting says that there are rules.
	Targeting bool
	// Override is the variant of an override that holds Until; else empty.
	Override string
	Until    time.Time
}

// Flags describes all flags, ordered by key.
func (s *Set) Flags() []Flag {
	overrides, now := *s.overrides.Load(), time.Now()
	var all []Flag
	for _, f := range s.state.Load().flags {
		flag := Flag{
			Key: f.key, Enabled: f.enabled, Type: f.kind, Variants: slices.Sorted(maps.Keys(f.variants)),
			DefaultVariant: f.defaultVariant, Targeting: f.targeting != nil,
		}
		if o, ok := overrides[f.key]; ok && now.Before(o.until) {
			flag.Override, flag.Until = o.variant, o.until
		}
		all = append(all, flag)
	}
	slices.SortFunc(all, func(a, b Flag) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// Generation is 1 after Load and grows by one with each applied reload.
func (s *Set) Generation() uint64 { return s.state.Load().generation }

// ErrUnknown is returned by [Set.Override] for a flag or variant that does not exist.
var ErrUnknown = errors.New("unknown flag or variant")

// Override makes a flag give a variant to everybody, also when it is disabled, until a moment that must be ahead: what a
// person does in haste ends by itself. It concerns this process only and is lost with it. While a reload has taken the
// variant away, it has no effect. The error matches [ErrUnknown], or says that the moment has passed.
func (s *Set) Override(key, variant string, until time.Time) error {
	f, ok := s.state.Load().flags[key]
	if !ok {
		return fmt.Errorf("flags: override %q: %w", key, ErrUnknown)
	}
	if _, ok := f.variants[variant]; !ok {
		return fmt.Errorf("flags: override %q with %q: %w; variants: %s", key, variant, ErrUnknown, variantNames(f.variants))
	}
	if !time.Now().Before(until) {
		return fmt.Errorf("flags: override %q: the end %v is not ahead", key, until)
	}
	s.setOverride(key, &override{variant: variant, until: until})
	return nil
}

// ClearOverride ends an override before its time; without one it does nothing.
func (s *Set) ClearOverride(key string) {
	if _, ok := (*s.overrides.Load())[key]; ok {
		s.setOverride(key, nil)
	}
}

func (s *Set) setOverride(key string, o *override) {
	func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := time.Now()
		next := maps.Clone(*s.overrides.Load())
		maps.DeleteFunc(next, func(_ string, o override) bool { return !now.Before(o.until) })
		delete(next, key)
		if o != nil {
			next[key] = *o
		}
		s.overrides.Store(&next)
	}()
	if hook := s.options.Hooks.Override; hook != nil {
		event := OverrideEvent{Flag: key}
		if o != nil {
			event.Variant, event.Until = o.variant, o.until
		}
		hook(event)
	}
}
