package data

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// ErrUnknownSource is returned by [Sources.DB] for a name that no source has.
var ErrUnknownSource = errors.New("data: unknown source")

// Sources are the databases of an application by name, so that code asks for "orders" and configuration decides what that
// is. It is immutable and safe for concurrent use.
type Sources struct {
	dbs       map[string]DB
	names     []string
	closeOnce sync.Once
	closeErr  error
}

// NewSources takes open databases by name and owns them from then on: [Sources.Close] closes them. When it returns an
// error it owns nothing.
func NewSources(dbs map[string]DB) (*Sources, error) {
	var errs []error
	for name, db := range dbs {
		if name == "" {
			errs = append(errs, errors.New("a source has an empty name"))
		}
		if db == nil {
			errs = append(errs, fmt.Errorf("source %q is nil", name))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("data: sources: %w", errors.Join(errs...))
	}
	return &Sources{dbs: maps.Clone(dbs), names: slices.Sorted(maps.Keys(dbs))}, nil
}

// DB returns the named database. The error for an unknown name matches [ErrUnknownSource] and lists the known ones.
func (s *Sources) DB(name string) (DB, error) {
	if db, ok := s.dbs[name]; ok {
		return db, nil
	}
	known := "none is configured"
	if len(s.names) > 0 {
		known = "known are " + strings.Join(s.names, ", ")
	}
	return nil, fmt.Errorf("%w %q: %s", ErrUnknownSource, name, known)
}

// Names returns the names in alphabetical order.
func (s *Sources) Names() []string { return slices.Clone(s.names) }

// Check asks one source whether it answers; use it as a health check per source.
func (s *Sources) Check(ctx context.Context, name string) error {
	db, err := s.DB(name)
	if err != nil {
		return err
	}
	if err := db.Ping(ctx); err != nil {
		return fmt.Errorf("data: source %q: %w", name, err)
	}
	return nil
}

// Close closes all sources at once, each as [DB] says, and returns all their errors. It may be called repeatedly.
func (s *Sources) Close() error {
	s.closeOnce.Do(func() {
		errs := make([]error, len(s.names))
		var wg sync.WaitGroup
		for i, name := range s.names {
			wg.Go(func() {
				if err := s.dbs[name].Close(); err != nil {
					errs[i] = fmt.Errorf("data: close source %q: %w", name, err)
				}
			})
		}
		wg.Wait()
		s.closeErr = errors.Join(errs...)
	})
	return s.closeErr
}
