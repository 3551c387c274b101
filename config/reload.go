package config

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/marty-framework/mmf/config/internal/watch"
)

// ReloadOutcome is how a reload ended; a metric label.
type ReloadOutcome string

// The outcomes.
const (
	ReloadApplied ReloadOutcome = "applied"
	ReloadRefused ReloadOutcome = "refused"
)

// Reload is one attempt to exchange the settings.
type Reload struct {
	At      time.Time
	Outcome ReloadOutcome
	// Generation is the one that runs after the attempt.
	Generation uint64
	// Changes are the keys that changed; empty when only comments or origins did.
	Changes []Change
	// Restart lists the keys whose new value waits for a restart.
	Restart []string
	// Err is why it was refused.
	Err error
}

func environ() []string { return os.Environ() }

// Reload reads the files now, without waiting for them to rest, and applies or refuses what they say, also if nothing
// changed. It returns nil, an [*Error], the error of a vote, or ctx's when another reload did not end in time.
func (s *Store[T]) Reload(ctx context.Context) error {
	if !s.takeTurn(ctx) {
		return ctx.Err()
	}
	defer s.leaveTurn()
	contents, digest := watch.Read(s.loader.options.paths(), s.loader.options.MaxFileBytes)
	s.digest = digest
	return s.apply(contents)
}

// Reloads returns the last reloads, the newest last.
func (s *Store[T]) Reloads() []Reload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.history)
}

// apply is called with the turn.
func (s *Store[T]) apply(contents []watch.Content) error {
	report, old, next := s.attempt(contents)
	s.mu.Lock()
	s.history = append(s.history, report)
	if extra := len(s.history) - s.loader.options.History; extra > 0 {
		s.history = slices.Delete(s.history, 0, extra)
	}
	listeners := slices.Clone(s.changes)
	s.mu.Unlock()
	if len(report.Changes) > 0 && report.Outcome == ReloadApplied {
		for _, l := range listeners {
			l.f(old, next)
		}
	}
	if hook := s.loader.options.Hooks.Reload; hook != nil {
		hook(report)
	}
	return report.Err
}

func (s *Store[T]) attempt(contents []watch.Content) (report Reload, old, next T) {
	before := s.current.Load()
	old = before.Value
	report = Reload{At: time.Now(), Outcome: ReloadRefused, Generation: before.Generation}
	fresh, err := s.loader.build(contents)
	if err != nil {
		report.Err = err
		return report, old, old
	}
	schema := s.loader.schema
	kept := schema.pin(reflect.ValueOf(&old).Elem(), fresh.value, "", false)
	settings := schema.settings(fresh.value, "", fresh.tree)
	if len(kept) > 0 {
		keepOrigins(settings, before.settings, kept)
		// The mix of old and new values is one that no source holds, so it is validated as well.
		var found problems
		schema.validate(fresh.value, "", fresh.tree, &found)
		if report.Err = found.err(s.loader.options.Files); report.Err != nil {
			return report, old, old
		}
	}
	next = valueOf[T](fresh.value)
	changes := diff(before.settings, settings)
	if len(changes) > 0 {
		if report.Err = s.vote(old, next); report.Err != nil {
			return report, old, old
		}
	}
	after := &snapshot[T]{
		Snapshot: Snapshot[T]{Value: next, Generation: before.Generation + 1, At: report.At},
		settings: settings,
	}
	if report.Err = s.swap(after); report.Err != nil {
		return report, old, old
	}
	report.Outcome, report.Generation, report.Changes, report.Restart = ReloadApplied, after.Generation, changes, kept
	return report, old, next
}

func (s *Store[T]) vote(old, next T) error {
	s.mu.Lock()
	votes := slices.Clone(s.votes)
	s.mu.Unlock()
	for _, v := range votes {
		if err := guard("a subscriber", func() error { return v.f(old, next) }); err != nil {
			return fmt.Errorf("config: a subscriber refused: %w", err)
		}
	}
	return nil
}

// swap computes the views of the new generation, then makes value and views visible together.
func (s *Store[T]) swap(after *snapshot[T]) error {
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	for _, view := range s.views {
		err := guard("a view", func() error {
			after.views = append(after.views, view(after.Value))
			return nil
		})
		if err != nil {
			return fmt.Errorf("config: %w", err)
		}
	}
	s.current.Store(after)
	return nil
}
