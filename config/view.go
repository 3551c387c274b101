package config

// Value is a part of live settings, for a package that should not know the whole. The zero value gives zeros. It is safe
// for concurrent use.
type Value[P any] struct{ load func() P }

// Get returns the part as it is now: one atomic load. Do not change what its slices and maps hold.
func (v Value[P]) Get() P {
	if v.load == nil {
		var zero P
		return zero
	}
	return v.load()
}

// Fixed is a value that never changes, for tests and for settings without a store.
func Fixed[P any](p P) Value[P] { return Value[P]{load: func() P { return p }} }

// View derives a part of the settings. f runs now and once for each reload, not for each Get; all views change in the
// same instant as the store, so parts read through several views are of one generation if no swap came between. f must be
// pure and must not use the store; a panic of f refuses the reload. Views live as long as the store: make them at start,
// not per request.
func View[T, P any](s *Store[T], f func(T) P) Value[P] {
	s.swapMu.Lock()
	defer s.swapMu.Unlock()
	before := s.current.Load()
	after := *before
	after.views = append(append([]any(nil), before.views...), any(f(before.Value)))
	index := len(s.views)
	s.views = append(s.views, func(t T) any { return f(t) })
	s.current.Store(&after)
	return Value[P]{load: func() P {
		p, _ := s.current.Load().views[index].(P)
		return p
	}}
}
