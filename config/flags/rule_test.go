package flags_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config/flags"
)

func TestRules(t *testing.T) {
	t.Parallel()
	attributes := map[string]any{
		"role": "admin", "age": 42, "price": 9.5, "vip": true, "roles": []string{"customer", "admin"},
		"zero": 0, "empty": "", "none": []string{},
		"address": map[string]any{"country": "DE", "zip": "010"}, "nothing": nil, "func": func() {}, "text42": "42", "email": "ann@example.com",
	}
	tests := map[string]bool{
		`true`:                                                                  true,
		`false`:                                                                 false,
		`{"var": "vip"}`:                                                        true,
		`{"var": ["missing", true]}`:                                            true,
		`{"==": [{"var": "role"}, "admin"]}`:                                    true,
		`{"==": [{"var": "role"}, "user"]}`:                                     false,
		`{"==": [{"var": "age"}, 42]}`:                                          true,
		`{"==": [{"var": "text42"}, 42]}`:                                       true,
		`{"===": [{"var": "text42"}, 42]}`:                                      false,
		`{"!==": [{"var": "text42"}, 42]}`:                                      true,
		`{"!=": [{"var": "age"}, 42]}`:                                          false,
		`{"==": [{"var": "missing"}, null]}`:                                    true,
		`{"==": [{"var": "zero"}, null]}`:                                       false,
		`{"==": [{"var": "address.country"}, "DE"]}`:                            true,
		`{"==": [{"var": "address.city"}, "DE"]}`:                               false,
		`{"==": [{"var": "role.x"}, "DE"]}`:                                     false,
		`{"==": [{"var": "address.zip"}, "10"]}`:                                false,
		`{"in": [{"var": "role"}, ["admin", "x"]]}`:                             true,
		`{"in": ["customer", {"var": "roles"}]}`:                                true,
		`{"in": ["guest", {"var": "roles"}]}`:                                   false,
		`{"in": ["dmi", {"var": "role"}]}`:                                      true,
		`{"in": ["x", {"var": "missing"}]}`:                                     false,
		`{"and": [{"var": "vip"}, {">": [{"var": "age"}, 18]}]}`:                true,
		`{"and": [true, false]}`:                                                false,
		`{"or": [false, {"var": "vip"}]}`:                                       true,
		`{"!": {"var": "zero"}}`:                                                true,
		`{"!": [{"var": "empty"}]}`:                                             true,
		`{"!": {"var": "none"}}`:                                                true,
		`{"!": {"var": "func"}}`:                                                true,
		`{"!!": {"var": "address"}}`:                                            true,
		`{"<": [1, {"var": "price"}, 10]}`:                                      true,
		`{"<": [10, {"var": "price"}, 20]}`:                                     false,
		`{"<=": [{"var": "age"}, "42"]}`:                                        true,
		`{">=": [{"var": "age"}, 43]}`:                                          false,
		`{">": [{"var": "role"}, 1]}`:                                           false,
		`{">": [{"var": "missing"}, -1]}`:                                       false,
		`{"starts_with": [{"var": "email"}, "ann@"]}`:                           true,
		`{"ends_with": [{"var": "email"}, "@example.com"]}`:                     true,
		`{"ends_with": [{"var": "age"}, "2"]}`:                                  false,
		`{"==": [{"cat": [{"var": "role"}, "-", {"var": "age"}]}, "admin-42"]}`: true,
		`{"==": [{"var": "targetingKey"}, "u1"]}`:                               true,
		`{"==": [{"var": "$flagd.flagKey"}, "f"]}`:                              true,
		`{"if": [{"var": "vip"}, "on", "off"]}`:                                 true,
		`{"if": [false, "off", {"var": "vip"}, "on"]}`:                          true,
		`{"if": [false, "on"]}`:                                                 false,
		`{"if": [{"in": [{"var": "role"}, ["guest"]]}, "on", {"var": "vip"}, "on", null]}`: true,
		`{}`:   false,
		`null`: false,
	}
	for rule, want := range tests {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			// The rule's answer true or false names a variant, as in flagd.
			text := strings.Replace(onOff(rule), `"off": false`, `"off": false, "true": true, "false": false`, 1)
			set := parse(t, text)
			ctx := flags.WithSubject(t.Context(), "u1", attributes)
			d := flags.Bool(set, "f", !want).Evaluate(ctx)
			require.Equal(t, want, d.Value)
			require.Empty(t, d.ErrorCode)
		})
	}
}

// TestRefusedFiles holds the messages, and that nothing that is not understood passes.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"!": [`, 40) + "1" + strings.Repeat("]}", 40)
	broad := `{"or": [` + strings.TrimSuffix(strings.Repeat("1,", 100_001), ",") + "]}"
	tests := map[string]struct{ text, want string }{
		"empty":       {" ", "flags: Options.Data:1: the file is empty"},
		"half":        {`{"flags": {`, "flags: Options.Data:1: not valid JSON: unexpected EOF"},
		"more":        {`{"flags": {}} {}`, "there is something after the end"},
		"duplicate":   {"{\"flags\": {},\n\"flags\": {}}", `flags: Options.Data:2: not valid JSON: the key "flags" is here twice`},
		"list":        {`[]`, "flags: Options.Data:1: the file: must be an object with flags"},
		"no flags":    {`{}`, "flags: must be an object of flags by key"},
		"evaluators":  {`{"flags": {}, "$evaluators": {}}`, "$evaluators: unknown or unsupported"},
		"no state":    {`{"flags": {"f": {"variants": {"on": true}}}}`, "flags.f: state is missing"},
		"state":       {`{"flags": {"f": {"state": "on", "variants": {"on": true}}}}`, "flags.f.state: must be ENABLED or DISABLED"},
		"no variants": {`{"flags": {"f": {"state": "ENABLED", "variants": {}}}}`, "must be an object with at least one variant"},
		"mixed": {
			`{"flags": {"f": {"state": "ENABLED", "variants": {"a": true, "b": "x"}}}}`,
			"flags.f.variants.b: is a string where the others are a boolean",
		},
		"null variant": {
			`{"flags": {"f": {"state": "ENABLED", "variants": {"a": null}}}}`,
			"must be a boolean, a string, a number or an object",
		},
		"default": {
			strings.Replace(onOff("null"), `"defaultVariant": "off"`, `"defaultVariant": "of"`, 1),
			"flags: Options.Data:2: flags.f.defaultVariant: must be one of the variants: off, on",
		},
		"typo":             {strings.Replace(onOff("null"), "targeting", "targetting", 1), "flags.f.targetting: unknown; known: state"},
		"operator":         {onOff(`{"sem_ver": ["1", ">", "2"]}`), `flags: Options.Data:2: flags.f.targeting: unknown operator "sem_ver"`},
		"two operators":    {onOff(`{"==": [1, 1], "!": 1}`), "a rule is an object with one operator, not 2"},
		"ref":              {onOff(`{"$ref": "x"}`), `unknown operator "$ref"`},
		"arguments":        {onOff(`{"==": [1]}`), `"==" has 1 arguments`},
		"var":              {onOff(`{"var": ""}`), "var needs an attribute's name"},
		"timestamp":        {onOff(`{"var": "$flagd.timestamp"}`), "$flagd.timestamp is not supported"},
		"result":           {onOff(`{"if": [true, "onn", "off"]}`), `"onn" is not one of the variants: off, on`},
		"share":            {onOff(`{"fractional": [["onn", 1]]}`), "a share must name one of the variants: off, on"},
		"weight":           {onOff(`{"fractional": [["on", 1.5]]}`), "a weight must be an integer from 0 to 2147483647"},
		"no weight at all": {onOff(`{"fractional": [["on", 0]]}`), "the weights must sum up to 1 to 2147483647"},
		"no shares":        {onOff(`{"fractional": [{"var": "email"}]}`), "fractional needs variants with weights"},
		"deep rule":        {onOff(deep), "not valid JSON: nested deeper than 64"},
		"deeper rule":      {onOff(strings.Repeat(`{"!": `, 33) + "1" + strings.Repeat("}", 33)), "nested deeper than 32"},
		"broad rule":       {onOff(broad), "more than 100000 parts in the rules of the file"},
		"deep JSON":        {strings.Repeat("[", 100_000), "nested deeper than 64"},
		"long key":         {`{"flags": {"` + strings.Repeat("k", 201) + `": {}}}`, "a key has 1 to 200 bytes"},
		"number too large": {`{"flags": {"f": {"state": "ENABLED", "variants": {"a": 1e999}}}}`, "not valid JSON"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := flags.Load(t.Context(), flags.Options{Data: []byte(tt.text)})
			require.ErrorContains(t, err, tt.want)
		})
	}
}
