package observability

import (
	"sync/atomic"
	"time"
)

// adjustable is a setting that can be changed at run time, for good or for a while. Reading costs one or two atomic
// loads; a change that has run out is noticed by the next reader, so no timer and no goroutine are needed.
type adjustable[T any] struct {
	base     atomic.Pointer[T]
	override atomic.Pointer[override[T]]
}

type override[T any] struct {
	value T
	until time.Time
}

func (a *adjustable[T]) get() T {
	if o := a.override.Load(); o != nil {
		if time.Now().Before(o.until) {
			return o.value
		}
		a.override.CompareAndSwap(o, nil)
	}
	return *a.base.Load()
}

// set changes the value for d, or for good when d is not positive; a lasting change also ends a passing one.
func (a *adjustable[T]) set(v T, d time.Duration) {
	if d > 0 {
		a.override.Store(&override[T]{value: v, until: time.Now().Add(d)})
		return
	}
	a.base.Store(&v)
	a.override.Store(nil)
}
