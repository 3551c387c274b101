package flags

import (
	"math"
	"strings"
)

// rule is a compiled part of a targeting rule: a pure function of the subject. Its result is nil, bool, float64, string, []any or
// map[string]any. It holds no loop beyond its own parts and the subject's lists, so its cost is bounded by the limits of the file.
type rule func(*subject) any

// compiler turns JSON into rules and reports what it does not understand.
type compiler struct {
	document *document
	flag     *definition
	where    string
}

func null(*subject) any { return nil }

func (c *compiler) fail(at *value, format string, args ...any) rule {
	c.document.fail(at, c.where, format, args...)
	return null
}

func (c *compiler) compile(v *value, depth int) rule {
	c.document.parts++
	if c.document.parts == maxRuleParts+1 {
		return c.fail(v, "more than %d parts in the rules of the file", maxRuleParts)
	}
	if c.document.parts > maxRuleParts {
		return null
	}
	if depth > maxRuleDepth {
		return c.fail(v, "nested deeper than %d", maxRuleDepth)
	}
	switch v.kind {
	case scalarValue:
		constant := v.scalar
		return func(*subject) any { return constant }
	case listValue:
		items := c.all(v.items, depth)
		return func(s *subject) any {
			list := make([]any, len(items))
			for i, item := range items {
				list[i] = item(s)
			}
			return list
		}
	default:
	}
	if len(v.keys) != 1 {
		return c.fail(v, "a rule is an object with one operator, not %d", len(v.keys))
	}
	name := v.keys[0]
	argument := v.fields[name]
	args := argument.items
	if argument.kind != listValue { // {"!": x} is short for {"!": [x]}
		args = []*value{argument}
	}
	switch name {
	case "var":
		return c.variable(argument, args, depth)
	case "fractional":
		return c.fractional(argument, args, depth)
	}
	op, ok := operators[name]
	if !ok {
		return c.fail(argument, "unknown operator %q", name)
	}
	if len(args) < op.least || len(args) > op.most {
		return c.fail(argument, "%q has %d arguments", name, len(args))
	}
	return op.build(c.all(args, depth))
}

func (c *compiler) all(vs []*value, depth int) []rule {
	rules := make([]rule, len(vs))
	for i, v := range vs {
		rules[i] = c.compile(v, depth+1)
	}
	return rules
}

// variable reads an attribute: {"var": "a.b"} or {"var": ["a.b", default]}.
func (c *compiler) variable(at *value, args []*value, depth int) rule {
	if len(args) < 1 || len(args) > 2 {
		return c.fail(at, "%q has %d arguments", "var", len(args))
	}
	name, ok := args[0].text()
	switch {
	case !ok || name == "":
		return c.fail(at, "var needs an attribute's name")
	case name == "$flagd.flagKey":
		key := c.flag.key
		return func(*subject) any { return key }
	case strings.HasPrefix(name, "$flagd"):
		return c.fail(at, "%s is not supported", name)
	}
	fallback := null
	if len(args) == 2 {
		fallback = c.compile(args[1], depth+1)
	}
	path := strings.Split(name, ".")
	return func(s *subject) any {
		if v, ok := s.attribute(path); ok {
			return v
		}
		return fallback(s)
	}
}

// fractional is flagd's split: [expression?, ["variant", weight], …].
func (c *compiler) fractional(at *value, args []*value, depth int) rule {
	var bucketBy rule
	if len(args) > 0 && args[0].kind != listValue {
		bucketBy = c.compile(args[0], depth+1)
		args = args[1:]
	}
	if len(args) == 0 {
		return c.fail(at, "fractional needs variants with weights")
	}
	var shares []share
	var total uint64
	for _, arg := range args {
		s, ok := c.share(arg)
		if !ok {
			return null
		}
		total += s.weight
		shares = append(shares, s)
	}
	if total == 0 || total > math.MaxInt32 {
		return c.fail(at, "the weights must sum up to 1 to %d", math.MaxInt32)
	}
	key := c.flag.key
	return func(s *subject) any {
		by := key + s.key
		if bucketBy != nil {
			text, ok := bucketBy(s).(string)
			if !ok {
				return nil
			}
			by = text
		} else if s.key == "" {
			return nil // nobody in particular belongs to no bucket
		}
		return pick(by, shares, total)
	}
}

func (c *compiler) share(v *value) (share, bool) {
	if v.kind != listValue || len(v.items) < 1 || len(v.items) > 2 {
		c.fail(v, `a share is ["variant", weight]`)
		return share{}, false
	}
	s := share{weight: 1}
	name, ok := v.items[0].text()
	if _, known := c.flag.variants[name]; !ok || !known {
		c.fail(v, "a share must name one of the variants: %s", variantNames(c.flag.variants))
		return share{}, false
	}
	s.variant = name
	if len(v.items) == 2 {
		weight, ok := v.items[1].scalar.(float64)
		if !ok || weight < 0 || weight > math.MaxInt32 || weight != math.Trunc(weight) {
			c.fail(v, "a weight must be an integer from 0 to %d", math.MaxInt32)
			return share{}, false
		}
		s.weight = uint64(weight)
	}
	return s, true
}

// checkResult finds literal results that are no variant: a mistake that would otherwise show with the first subject that matches.
func (c *compiler) checkResult(v *value) {
	if name, ok := v.text(); ok {
		if _, known := c.flag.variants[name]; !known {
			c.fail(v, "%q is not one of the variants: %s", name, variantNames(c.flag.variants))
		}
		return
	}
	branches := v.fields["if"]
	if v.kind != objectValue || branches == nil || branches.kind != listValue {
		return
	}
	for i, arg := range branches.items {
		if i%2 == 1 || (i > 0 && i == len(branches.items)-1) {
			c.checkResult(arg)
		}
	}
}
