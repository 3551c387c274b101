package security_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/security"
)

func TestParseLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]security.Limit{
		"30/min":               {Events: 30, Per: time.Minute},
		"10/s burst 20":        {Events: 10, Per: time.Second, Burst: 20},
		"1000/h":               {Events: 1000, Per: time.Hour},
		"1/d":                  {Events: 1, Per: 24 * time.Hour},
		"1000000/min":          {Events: 1_000_000, Per: time.Minute},
		"1/s burst 1000000":    {Events: 1, Per: time.Second, Burst: 1_000_000},
		"100000/s burst 10000": {Events: 100_000, Per: time.Second, Burst: 10_000},
	} {
		got, err := security.ParseLimit(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for _, text := range []string{
		"", "30", "/min", "30/", "30/m", "30/minute", "30/MIN", "30 / min", " 30/min", "30/min ", "30/min\n", "0/s", "-1/s", "+1/s",
		"1.5/s", "1e3/s", "030/s", "0x10/s", "1_0/s", "1000001/s", "99999999999999999999/s", "30/min burst", "30/min burst ", "30/min  burst 5",
		"30/min burst  5", "30/min burst 0", "30/min burst -1", "30/min burst 5 burst 6", "30/min/s", "30/2min", "٣/s",
		"100001/s",            // more than one in 10 µs
		"1/d burst 367",       // a burst that takes more than a year to come back
		"1/d burst 1000000",   // and one whose nanoseconds overflow
		"1000000/s burst 100", // counted in microseconds, that is no rate
	} {
		got, err := security.ParseLimit(text)
		require.Error(t, err, "%q", text)
		require.Equal(t, security.Limit{}, got)
	}
}

func FuzzParseLimit(f *testing.F) {
	for _, s := range []string{"30/min", "10/s burst 20", "1/d burst 367", "0/s", "30/m"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := security.ParseLimit(s)
		if err != nil {
			require.True(t, l.IsZero())
			return
		}
		require.NoError(t, l.Validate())
		require.Equal(t, s, l.String(), "every limit has exactly one spelling")
		require.GreaterOrEqual(t, l.Interval(), security.MinLimitInterval)
		require.GreaterOrEqual(t, l.Interval()*time.Duration(l.Events), l.Per, "rounding never raises the rate")
	})
}

func TestLimitValidateTellsEverything(t *testing.T) {
	t.Parallel()
	err := security.Limit{Events: -1, Burst: -1, Per: -1}.Validate()
	for _, part := range []string{"Events", "Burst", "Per"} {
		require.ErrorContains(t, err, part)
	}
	require.Zero(t, security.Limit{}.Interval())
	require.Equal(t, 333334*time.Microsecond, security.Limit{Events: 3, Per: time.Second}.Interval())
}
