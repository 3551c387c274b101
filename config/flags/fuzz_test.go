package flags_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config/flags"
)

// FuzzLoad: whatever a file holds, it is refused or every evaluation gives a value, twice the same, without a panic.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		mixed, onOff("true"), onOff(`{"fractional": [["on", 10], ["off", 90]]}`),
		onOff(`{"fractional": [{"cat": [{"var": "a"}, "x"]}, ["on"]]}`),
		onOff(`{"if": [{"in": ["x", {"var": "list"}]}, "on", "off"]}`), onOff(`{"<": [1, {"var": "n"}, 3]}`), onOff(`[1, {"var": ["x", {}]}]`),
		`{"flags": {}}`, `[[[[`, `{"a": 1, "a": 2}`, "\ufeff{}", onOff(`{"or": []}`),
		onOff(`{"and": [[], {"!": {"==": [null, 0]}}]}`), `{"flags": {"f": 1e999}}`,
	} {
		f.Add([]byte(seed), "u1", "x")
	}
	f.Fuzz(func(t *testing.T, data []byte, key, attribute string) {
		set, err := flags.Load(t.Context(), flags.Options{Data: data})
		if err != nil {
			return
		}
		ctx := flags.WithSubject(t.Context(), key, map[string]any{"a": attribute, "list": []string{attribute}, "n": len(attribute)})
		for _, flag := range set.Flags() {
			require.Equal(t, flags.Bool(set, flag.Key, true).Evaluate(ctx), flags.Bool(set, flag.Key, true).Evaluate(ctx))
			require.Equal(t, flags.String(set, flag.Key, "?").Evaluate(ctx), flags.String(set, flag.Key, "?").Evaluate(ctx))
			_ = flags.Int(set, flag.Key, 1).Get(ctx)
		}
	})
}
