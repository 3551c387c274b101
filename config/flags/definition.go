package flags

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Limits on flags in one file; a rule's parts are counted over the whole file.
const (
	maxFlags     = 10_000
	maxRuleParts = 100_000
	maxRuleDepth = 32
)

// definition is a flag, checked and ready to be evaluated.
type definition struct {
	key            string
	enabled        bool
	variants       map[string]any
	kind           string // of the variants: boolean, string, number, object
	defaultVariant string // "" for none
	targeting      rule   // nil for none
	source         string // tells two definitions apart
}

// document is the flags of one file.
type document struct {
	name     string
	problems []error
	parts    int
	flags    map[string]*definition
}

// parse reads a whole file; the error joins all problems, each with file, line and flag.
func parse(name string, data []byte) (map[string]*definition, error) {
	root, err := parseJSON(data)
	if err != nil {
		return nil, fmt.Errorf("flags: %s:%w", name, err)
	}
	d := &document{name: name, flags: map[string]*definition{}}
	d.read(root)
	if err := errors.Join(d.problems...); err != nil {
		return nil, err
	}
	return d.flags, nil
}

func (d *document) fail(at *value, where, format string, args ...any) {
	d.problems = append(d.problems, fmt.Errorf("flags: %s:%d: %s: %s", d.name, at.line, where, fmt.Sprintf(format, args...)))
}

func (d *document) read(root *value) {
	if root.kind != objectValue {
		d.fail(root, "the file", "must be an object with flags")
		return
	}
	for _, key := range root.keys {
		switch key {
		case "$schema", "metadata", "flags":
		default:
			d.fail(root.fields[key], key, "unknown or unsupported; known: $schema, metadata, flags")
		}
	}
	all, ok := root.fields["flags"]
	if !ok || all.kind != objectValue {
		d.fail(root, "flags", "must be an object of flags by key")
		return
	}
	if len(all.keys) > maxFlags {
		d.fail(all, "flags", "more than %d flags", maxFlags)
		return
	}
	for _, key := range all.keys {
		d.flag(key, all.fields[key])
	}
}

func (d *document) flag(key string, v *value) {
	where := "flags." + key
	if key == "" || len(key) > 200 {
		d.fail(v, where, "a key has 1 to 200 bytes")
		return
	}
	if v.kind != objectValue {
		d.fail(v, where, "must be an object")
		return
	}
	f := &definition{key: key, variants: map[string]any{}}
	for _, name := range v.keys {
		switch field := v.fields[name]; name {
		case "state":
			f.enabled = d.state(where, field)
		case "variants":
			d.variants(where, field, f)
		case "defaultVariant", "targeting", "metadata", "description":
		default:
			d.fail(field, where+"."+name, "unknown; known: state, variants, defaultVariant, targeting, metadata, description")
		}
	}
	for _, name := range []string{"state", "variants"} {
		if v.fields[name] == nil {
			d.fail(v, where, "%s is missing", name)
		}
	}
	if def := v.fields["defaultVariant"]; def != nil && !def.isNull() {
		name, ok := def.text()
		if _, known := f.variants[name]; !ok || !known {
			d.fail(def, where+".defaultVariant", "must be one of the variants: %s", variantNames(f.variants))
		}
		f.defaultVariant = name
	}
	if t := v.fields["targeting"]; t != nil && !t.isNull() && (t.kind != objectValue || len(t.keys) > 0) {
		c := &compiler{document: d, flag: f, where: where + ".targeting"}
		f.targeting = c.compile(t, 0)
		c.checkResult(t)
	}
	f.source = fmt.Sprintf("%#v", v.plain()) // maps print in the order of their keys
	d.flags[key] = f
}

func variantNames(variants map[string]any) string {
	return strings.Join(slices.Sorted(maps.Keys(variants)), ", ")
}

func (d *document) state(where string, v *value) bool {
	s, _ := v.text()
	if s != "ENABLED" && s != "DISABLED" {
		d.fail(v, where+".state", "must be ENABLED or DISABLED")
	}
	return s == "ENABLED"
}

func (d *document) variants(where string, v *value, f *definition) {
	if v.kind != objectValue || len(v.keys) == 0 {
		d.fail(v, where+".variants", "must be an object with at least one variant")
		return
	}
	for _, name := range v.keys {
		variant := v.fields[name]
		kind := kindOf(variant)
		switch {
		case kind == "":
			d.fail(variant, where+".variants."+name, "must be a boolean, a string, a number or an object")
		case f.kind != "" && kind != f.kind:
			d.fail(variant, where+".variants."+name, "is a %s where the others are a %s", kind, f.kind)
		}
		f.kind = kind
		f.variants[name] = variant.plain()
	}
}

func kindOf(v *value) string {
	if v.kind == objectValue {
		return "object"
	}
	switch v.scalar.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		return "number"
	default:
		return ""
	}
}
