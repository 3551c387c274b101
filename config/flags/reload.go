package flags

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/marty-framework/mmf/config/internal/watch"
)

// Run follows the files until ctx is done, then returns nil: a changed content that rests is validated whole and
// exchanged at once, or refused with the last good flags kept. Only one Run at a time; a second returns an error. Without
// files it only waits.
func (s *Set) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("flags: Run is running already")
	}
	defer s.running.Store(false)
	if len(s.options.Files) == 0 {
		<-ctx.Done()
		return nil
	}
	if !s.takeTurn(ctx) {
		return nil
	}
	last := s.digest
	s.leaveTurn()
	return watch.Run(ctx, s.options.Files, watch.Options{
		MaxBytes: s.options.MaxFileBytes, Debounce: s.options.Debounce, Poll: s.options.Poll, Degraded: s.options.Hooks.WatchDegraded,
	}, last, func(ctx context.Context, contents []watch.Content, digest watch.Digest) {
		if !s.takeTurn(ctx) {
			return
		}
		defer s.leaveTurn()
		if digest != s.digest { // else Reload was here first
			s.digest = digest
			_ = s.apply(contents) // told through Hooks
		}
	})
}

// Reload reads the files now, without waiting for them to rest, and applies or refuses what they say. Hooks must not call
// it. It returns nil, the problems as [Load] does, or ctx's error when another reload did not end in time.
func (s *Set) Reload(ctx context.Context) error {
	if !s.takeTurn(ctx) {
		return ctx.Err()
	}
	defer s.leaveTurn()
	contents, digest := watch.Read(s.options.Files, s.options.MaxFileBytes)
	s.digest = digest
	return s.apply(contents)
}

// apply is called with the turn.
func (s *Set) apply(contents []watch.Content) error {
	before := s.state.Load()
	report := Reload{At: time.Now(), Generation: before.generation}
	flags, err := s.build(contents)
	if err != nil {
		report.Err = err
	} else {
		after := &state{generation: before.generation + 1, flags: flags}
		s.state.Store(after)
		report.Applied, report.Generation, report.Changed = true, after.generation, changed(before.flags, flags)
	}
	if hook := s.options.Hooks.Reload; hook != nil {
		hook(report)
	}
	return report.Err
}

func changed(old, next map[string]*definition) []string {
	var keys []string
	for key, f := range next {
		if o, ok := old[key]; !ok || o.source != f.source {
			keys = append(keys, key)
		}
	}
	for key := range old {
		if _, ok := next[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (s *Set) takeTurn(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Set) leaveTurn() { <-s.turn }
