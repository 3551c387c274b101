package flags

import (
	"context"
	"strconv"
	"time"
)

// Reason says how a value came about, in OpenFeature's words and one of our own.
type Reason string

// The reasons.
const (
	// ReasonStatic: the flag has no rules.
	ReasonStatic Reason = "STATIC"
	// ReasonTargetingMatch: a rule chose the variant.
	ReasonTargetingMatch Reason = "TARGETING_MATCH"
	// ReasonDefault: no rule applied, or the flag names no default variant and the handle's default was given.
	ReasonDefault Reason = "DEFAULT"
	// ReasonDisabled: the flag is disabled; the handle's default was given.
	ReasonDisabled Reason = "DISABLED"
	// ReasonOverride: [Set.Override] chose the variant.
	ReasonOverride Reason = "OVERRIDE"
	// ReasonError: the handle's default was given; the error code says why.
	ReasonError Reason = "ERROR"
)

// ErrorCode says what was wrong, in OpenFeature's words; empty when nothing was.
type ErrorCode string

// The error codes.
const (
	// ErrorFlagNotFound: no source has the flag.
	ErrorFlagNotFound ErrorCode = "FLAG_NOT_FOUND"
	// ErrorTypeMismatch: the variant is of another type than the handle.
	ErrorTypeMismatch ErrorCode = "TYPE_MISMATCH"
	// ErrorGeneral: a rule gave something that is no variant.
	ErrorGeneral ErrorCode = "GENERAL"
)

// Detail is a value with how it came about.
type Detail[T any] struct {
	Flag  string
	Value T
	// Variant is empty when the handle's default was given.
	Variant   string
	Reason    Reason
	ErrorCode ErrorCode
	// Generation is that of the flags that were asked.
	Generation uint64
}

// evaluate answers for one flag: a value of any of the variants' types, or use false for the handle's default.
func (s *Set) evaluate(ctx context.Context, key string) (v any, use bool, d Detail[any]) {
	state := s.state.Load()
	d = Detail[any]{Flag: key, Generation: state.generation}
	f, ok := state.flags[key]
	if !ok {
		d.Reason, d.ErrorCode = ReasonError, ErrorFlagNotFound
		return nil, false, d
	}
	if o, ok := (*s.overrides.Load())[key]; ok && time.Now().Before(o.until) {
		if v, known := f.variants[o.variant]; known { // the file may have changed since
			d.Variant, d.Reason = o.variant, ReasonOverride
			return v, true, d
		}
	}
	if !f.enabled {
		d.Reason = ReasonDisabled
		return nil, false, d
	}
	d.Variant, d.Reason = f.defaultVariant, ReasonStatic
	if f.targeting != nil {
		d.Reason = ReasonDefault
		switch result := f.targeting(subjectFrom(ctx)).(type) {
		case nil:
		case string:
			d.Variant, d.Reason = result, ReasonTargetingMatch
		case bool:
			d.Variant, d.Reason = strconv.FormatBool(result), ReasonTargetingMatch
		default:
			d.Variant, d.Reason, d.ErrorCode = "", ReasonError, ErrorGeneral
			return nil, false, d
		}
	}
	if d.Variant == "" && d.Reason != ReasonTargetingMatch {
		d.Reason = ReasonDefault
		return nil, false, d
	}
	v, ok = f.variants[d.Variant]
	if !ok {
		d.Variant, d.Reason, d.ErrorCode = "", ReasonError, ErrorGeneral
	}
	return v, ok, d
}
