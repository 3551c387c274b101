package flags_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/config/flags"
)

func split(expression string, weights ...int) string {
	rule := `{"fractional": [` + expression
	for i, w := range weights {
		if i > 0 {
			rule += ","
		}
		rule += fmt.Sprintf(`["v%d", %d]`, i, w)
	}
	return `{"flags": {"f": {"state": "ENABLED", "variants": {"v0": "v0", "v1": "v1", "v2": "v2", "none": "none"},
		"defaultVariant": "none", "targeting": ` + rule + `]}}}}`
}

func variant(t testing.TB, set *flags.Set, key string) string {
	t.Helper()
	return flags.String(set, "f", "?").Get(flags.WithSubject(t.Context(), key, nil))
}

// TestBucketsArePinned: the buckets of published keys must not move with a release. The values are flagd's arithmetic on murmur3.
func TestBucketsArePinned(t *testing.T) {
	t.Parallel()
	hash := `{"var": "targetingKey"},` // hash the key alone: known vectors of murmur3_32 with seed 0
	for key, want := range map[string]string{
		"hello":        "v0", // 0x248bfa47: positive, at 0.2855 of MaxInt32
		"hello, world": "v0", // 0x149bbb7f: at 0.1610
		"The quick brown fox jumps over the lazy dog": "v1", // 0x2e4ff723: at 0.3618
	} {
		require.Equal(t, want, variant(t, parse(t, split(hash, 29, 71)), key), key)
	}
	require.Equal(t, "v1", variant(t, parse(t, split(hash, 28, 72)), "hello"))
	require.Equal(t, "v1", variant(t, parse(t, split(hash, 16, 84)), "hello, world"))
}

// TestSplitIsFair over sequential ids (S28), as FNV is not.
func TestSplitIsFair(t *testing.T) {
	t.Parallel()
	const n = 10_000
	set := parse(t, split("", 50, 30, 20))
	got := map[string]int{}
	for i := range n {
		got[variant(t, set, fmt.Sprintf("customer-%d", i))]++
	}
	require.InDelta(t, 0.5*n, got["v0"], 0.03*n)
	require.InDelta(t, 0.3*n, got["v1"], 0.03*n)
	require.InDelta(t, 0.2*n, got["v2"], 0.03*n)
	require.Len(t, got, 3)
}

// TestRampIsMonotoneAndSticky (F-FLG-1, G2): raising the first weight keeps everybody who was in; another process decides the same.
func TestRampIsMonotoneAndSticky(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		low := rapid.IntRange(0, 100).Draw(rt, "low")
		high := rapid.IntRange(low, 100).Draw(rt, "high")
		before, after, again := parse(t, split("", low, 100-low)), parse(t, split("", high, 100-high)), parse(t, split("", low, 100-low))
		for i := range 50 {
			key := rapid.StringN(1, 20, 60).Draw(rt, fmt.Sprint("key", i))
			was := variant(t, before, key)
			if was != variant(t, again, key) {
				rt.Fatalf("%q is not sticky", key)
			}
			if was == "v0" && variant(t, after, key) != "v0" {
				rt.Fatalf("%q fell out between %d and %d", key, low, high)
			}
			if low == 0 && was == "v0" {
				rt.Fatalf("%q has a variant of no weight", key)
			}
		}
	})
}

func TestSplitNeedsSomebody(t *testing.T) {
	t.Parallel()
	d := flags.String(parse(t, split("", 50, 50)), "f", "?").Evaluate(t.Context())
	require.Equal(t, "none", d.Value)
	require.Equal(t, flags.ReasonDefault, d.Reason)
	d = flags.String(parse(t, split(`{"var": "email"},`, 50, 50)), "f", "?").Evaluate(flags.WithSubject(t.Context(), "u1", nil))
	require.Equal(t, "none", d.Value)
}
