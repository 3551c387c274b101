package flags

import (
	"context"
	"math"
)

// Handle is a flag of one type with the default for when the flags have no answer. It is safe for concurrent use; make it once.
type Handle[T any] struct {
	set      *Set
	key      string
	fallback T
	convert  func(any) (T, bool)
}

// Bool is a handle for a flag with boolean variants.
func Bool(s *Set, key string, fallback bool) Handle[bool] { return handle(s, key, fallback, as[bool]) }

// String is a handle for a flag with string variants.
func String(s *Set, key, fallback string) Handle[string] {
	return handle(s, key, fallback, as[string])
}

// Float is a handle for a flag with number variants.
func Float(s *Set, key string, fallback float64) Handle[float64] {
	return handle(s, key, fallback, as[float64])
}

// Int is a handle for a flag with number variants; one with a fraction is of the wrong type.
func Int(s *Set, key string, fallback int) Handle[int] {
	return handle(s, key, fallback, func(v any) (int, bool) {
		f, ok := v.(float64)
		if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return 0, false
		}
		return int(f), true
	})
}

func handle[T any](s *Set, key string, fallback T, convert func(any) (T, bool)) Handle[T] {
	return Handle[T]{set: s, key: key, fallback: fallback, convert: convert}
}

func as[T any](v any) (T, bool) {
	t, ok := v.(T)
	return t, ok
}

// Key is the flag's key.
func (h Handle[T]) Key() string { return h.key }

// Get gives the value for the subject of ctx. It never fails; see [Handle.Evaluate] for why a value is what it is. A zero
// handle, or one of a nil set, gives its default.
func (h Handle[T]) Get(ctx context.Context) T { return h.Evaluate(ctx).Value }

// Evaluate gives the value with how it came about, and tells [Hooks.Evaluation].
func (h Handle[T]) Evaluate(ctx context.Context) Detail[T] {
	d := Detail[T]{Flag: h.key, Value: h.fallback, Reason: ReasonError, ErrorCode: ErrorFlagNotFound}
	if h.set == nil {
		return d
	}
	v, use, found := h.set.evaluate(ctx, h.key)
	d.Variant, d.Reason, d.ErrorCode, d.Generation = found.Variant, found.Reason, found.ErrorCode, found.Generation
	if use {
		if t, ok := h.convert(v); ok {
			d.Value = t
		} else {
			d.Variant, d.Reason, d.ErrorCode = "", ReasonError, ErrorTypeMismatch
		}
	}
	if hook := h.set.options.Hooks.Evaluation; hook != nil {
		hook(ctx, Evaluation{
			Flag: d.Flag, Variant: d.Variant, Reason: d.Reason, ErrorCode: d.ErrorCode, Subject: subjectFrom(ctx).key, Generation: d.Generation,
		})
	}
	return d
}
