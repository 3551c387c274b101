package flags

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// operator is one of JsonLogic's; its arguments are rules.
type operator struct {
	least, most int
	build       func(args []rule) rule
}

const many = math.MaxInt

// operators is a constant table.
var operators = map[string]operator{
	"if":          {2, many, ifElse},
	"and":         {1, many, func(args []rule) rule { return first(args, func(v any) bool { return !truthy(v) }) }},
	"or":          {1, many, func(args []rule) rule { return first(args, truthy) }},
	"!":           {1, 1, monadic(func(v any) any { return !truthy(v) })},
	"!!":          {1, 1, monadic(func(v any) any { return truthy(v) })},
	"==":          {2, 2, dyadic(func(a, b any) any { return loose(a, b) })},
	"!=":          {2, 2, dyadic(func(a, b any) any { return !loose(a, b) })},
	"===":         {2, 2, dyadic(func(a, b any) any { return strict(a, b) })},
	"!==":         {2, 2, dyadic(func(a, b any) any { return !strict(a, b) })},
	"in":          {2, 2, dyadic(func(a, b any) any { return contains(b, a) })},
	"starts_with": {2, 2, dyadic(func(a, b any) any { return texts(a, b, strings.HasPrefix) })},
	"ends_with":   {2, 2, dyadic(func(a, b any) any { return texts(a, b, strings.HasSuffix) })},
	"<":           {2, 3, ordered(func(a, b float64) bool { return a < b })},
	"<=":          {2, 3, ordered(func(a, b float64) bool { return a <= b })},
	">":           {2, 2, ordered(func(a, b float64) bool { return a > b })},
	">=":          {2, 2, ordered(func(a, b float64) bool { return a >= b })},
	"cat":         {1, many, cat},
}

func ifElse(args []rule) rule {
	return func(s *subject) any {
		i := 0
		for ; i+1 < len(args); i += 2 {
			if truthy(args[i](s)) {
				return args[i+1](s)
			}
		}
		if i < len(args) {
			return args[i](s)
		}
		return nil
	}
}

// first gives the first value that stops, or the last one.
func first(args []rule, stop func(any) bool) rule {
	return func(s *subject) any {
		var v any
		for _, arg := range args {
			if v = arg(s); stop(v) {
				return v
			}
		}
		return v
	}
}

func monadic(f func(any) any) func([]rule) rule {
	return func(args []rule) rule { return func(s *subject) any { return f(args[0](s)) } }
}

func dyadic(f func(a, b any) any) func([]rule) rule {
	return func(args []rule) rule { return func(s *subject) any { return f(args[0](s), args[1](s)) } }
}

// ordered compares neighbours: {"<": [1, x, 5]} asks for x between. What is not a number is in no order.
func ordered(less func(a, b float64) bool) func([]rule) rule {
	return func(args []rule) rule {
		return func(s *subject) any {
			before, ok := number(args[0](s))
			for _, arg := range args[1:] {
				next, nextOK := number(arg(s))
				if !ok || !nextOK || !less(before, next) {
					return false
				}
				before = next
			}
			return true
		}
	}
}

func cat(args []rule) rule {
	return func(s *subject) any {
		var b strings.Builder
		for _, arg := range args {
			switch v := arg(s).(type) {
			case nil:
			case string:
				b.WriteString(v)
			case float64:
				b.WriteString(strconv.FormatFloat(v, 'f', -1, 64))
			default:
				_, _ = fmt.Fprint(&b, v)
			}
		}
		return b.String()
	}
}

// truthy is JsonLogic's: false, null, 0, "" and the empty list are not.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0 && !math.IsNaN(v)
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	default:
		return true
	}
}

func strict(a, b any) bool { return reflect.DeepEqual(a, b) }

// loose is == of JavaScript for plain values: a text that reads as a number equals that number.
func loose(a, b any) bool {
	if strict(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	if _, text := a.(string); text {
		if _, text = b.(string); text {
			return false
		}
	}
	x, ok := number(a)
	y, also := number(b)
	return ok && also && x == y
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsNaN(v)
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		return f, err == nil && !math.IsNaN(f)
	default:
		return 0, false
	}
}

func contains(haystack, needle any) bool {
	switch h := haystack.(type) {
	case string:
		n, ok := needle.(string)
		return ok && strings.Contains(h, n)
	case []any:
		return slices.ContainsFunc(h, func(v any) bool { return strict(v, needle) })
	default:
		return false
	}
}

func texts(a, b any, f func(string, string) bool) bool {
	x, ok := a.(string)
	y, also := b.(string)
	return ok && also && f(x, y)
}
