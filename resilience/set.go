package resilience

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Set holds the policies of an application by name, so that all users of a name share its state. It is safe for concurrent use.
type Set struct {
	updateMu sync.Mutex // one update at a time

	mu       sync.RWMutex
	policies map[string]*Policy
}

// NewSet makes a policy for each configuration. The error joins all problems, duplicate names among them.
func NewSet(configs ...Config) (*Set, error) {
	s := &Set{policies: make(map[string]*Policy, len(configs))}
	if err := s.Update(configs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Policy returns the policy of that name, always the same one. The error matches [ErrUnknownPolicy] and lists the known names.
func (s *Set) Policy(name string) (*Policy, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p, ok := s.policies[name]; ok {
		return p, nil
	}
	known := slices.Sorted(maps.Keys(s.policies))
	return nil, fmt.Errorf("resilience: %w %q; known: %s", ErrUnknownPolicy, name, strings.Join(known, ", "))
}

// Policies returns all policies, ordered by name.
func (s *Set) Policies() []*Policy {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.policies), func(a, b *Policy) int { return strings.Compare(a.name, b.name) })
}

// Update applies a whole new list, as after a reload of the configuration: known names get their new settings as by
// [Policy.Update], new names are added, and all known names must be present, because somebody may hold them. On an error,
// that of [Set.Check], nothing changes.
//
// Hooks must not call Update.
func (s *Set) Update(configs ...Config) error {
	s.updateMu.Lock()
	defer s.updateMu.Unlock()
	if err := s.Check(configs...); err != nil {
		return err
	}
	var problems []error // none, as all was checked
	for _, cfg := range configs {
		// Not under mu: the hooks of a policy may ask the set.
		if p, err := s.Policy(cfg.Name); err == nil {
			problems = append(problems, p.Update(cfg))
			continue
		}
		p, err := New(cfg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		s.add(p)
	}
	return errors.Join(problems...)
}

func (s *Set) add(p *Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies[p.name] = p
}

// Check tells whether [Set.Update] would accept the list, and joins all problems: invalid settings, names given twice,
// names missing.
func (s *Set) Check(configs ...Config) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.checkLocked(configs)
}

func (s *Set) checkLocked(configs []Config) error {
	var problems []error
	seen := make(map[string]bool, len(configs))
	for _, cfg := range configs {
		problems = append(problems, cfg.withDefaults().validate())
		if seen[cfg.Name] {
			problems = append(problems, fmt.Errorf("resilience: policy %q is given twice", cfg.Name))
		}
		seen[cfg.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.policies)) {
		if !seen[name] {
			problems = append(problems, fmt.Errorf("resilience: policy %q is in use and cannot be removed", name))
		}
	}
	return errors.Join(problems...)
}
