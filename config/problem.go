package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// OriginKind is a layer.
type OriginKind string

// The layers, from the weakest.
const (
	OriginDefault  OriginKind = "default"
	OriginFile     OriginKind = "file"
	OriginEnv      OriginKind = "env"
	OriginOverride OriginKind = "override"
)

// Origin says where a value comes from.
type Origin struct {
	Kind OriginKind
	// Name is the file's path or the variable's name.
	Name string
	// Line is the line in the file, from 1.
	Line int
}

// String is "base.yaml:12", "env SHOP_ADDR", "override" or "default".
func (o Origin) String() string {
	switch o.Kind {
	case OriginFile:
		if o.Line > 0 {
			return fmt.Sprintf("%s:%d", o.Name, o.Line)
		}
		return o.Name
	case OriginEnv:
		return "env " + o.Name
	default:
		return string(o.Kind)
	}
}

// Problem is one thing that is wrong with the settings.
type Problem struct {
	// Origin is where it is; the zero value when it belongs to no place.
	Origin Origin
	// Key is the key's path, as http.timeout; empty for a whole file.
	Key string
	// Err says what is wrong. It holds no value of a [Secret].
	Err error
}

// Error is "base.yaml:12: http.timeout: …".
func (p Problem) Error() string {
	var b strings.Builder
	if p.Origin.Kind != "" && p.Origin.Kind != OriginDefault {
		b.WriteString(p.Origin.String() + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Err.Error())
	return b.String()
}

// Unwrap gives Err.
func (p Problem) Unwrap() error { return p.Err }

// Error is what [Load] and [Store.Reload] refuse settings with: all problems, in the order of the layers and of the
// lines. The same sources give the same text.
type Error struct{ Problems []Problem }

// Error has one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = "config: " + p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the problems.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Problems))
	for i, p := range e.Problems {
		errs[i] = p
	}
	return errs
}

// Invalid is an error for a Validate method that concerns one key of the struct, given as a path from there; its origin
// is then found: config.Invalid("timeout", "must be positive, not %v", c.Timeout).
func Invalid(key, format string, args ...any) error {
	return &invalidError{key: key, err: fmt.Errorf(format, args...)}
}

type invalidError struct {
	key string
	err error
}

func (e *invalidError) Error() string { return e.key + ": " + e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

// problems collects; its order is fixed at the end.
type problems []Problem

func (p *problems) add(at Origin, key string, format string, args ...any) {
	*p = append(*p, Problem{Origin: at, Key: key, Err: fmt.Errorf(format, args...)})
}

// err returns nil or an *Error. files give the order of files.
func (p problems) err(files []File) error {
	if len(p) == 0 {
		return nil
	}
	rank := func(o Origin) int {
		switch o.Kind {
		case OriginFile:
			return 1 + slices.IndexFunc(files, func(f File) bool { return f.Path == o.Name })
		case OriginEnv:
			return len(files) + 2
		case OriginOverride:
			return len(files) + 3
		default:
			return len(files) + 4
		}
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank(a.Origin), rank(b.Origin)), cmp.Compare(a.Origin.Line, b.Origin.Line),
			cmp.Compare(a.Origin.Name, b.Origin.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Err.Error(), b.Err.Error()),
		)
	})
	p = slices.CompactFunc(p, func(a, b Problem) bool { return a.Error() == b.Error() })
	return &Error{Problems: p}
}

// leaves splits what errors.Join joined, at all depths; an error that only wraps several others has a text of its own and
// stays whole.
func leaves(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error }) // this very error, not one below it
	if !ok {
		return []error{err}
	}
	var texts []string
	var all []error
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
		all = append(all, leaves(e)...)
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []error{err}
	}
	return all
}
