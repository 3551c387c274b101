package cron_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/internal/cron"
)

const layout = "Mon 2006-01-02 15:04 -07"

func zone(t require.TestingT, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, expression, zone, after, next string }{
		{"later the same day", "0 3 * * *", "UTC", "2026-11-22T01:00:00Z", "Sun 2026-11-22 03:00 +00,Mon 2026-11-23 03:00 +00"},
		{"after means after", "0 3 * * *", "UTC", "2026-11-22T03:00:00Z", "Mon 2026-11-23 03:00 +00"},
		{"seconds are cut", "* * * * *", "UTC", "2026-11-22T03:00:59.9Z", "Sun 2026-11-22 03:01 +00"},
		{"before the full minute", "0 3 * * *", "UTC", "2026-11-22T02:59:59.999999999Z", "Sun 2026-11-22 03:00 +00"},
		{"lists, ranges and steps", "5,50-58/4 8-10/2 * * *", "UTC", "2026-11-22T08:50:00Z", "Sun 2026-11-22 08:54 +00,Sun 2026-11-22 08:58 +00,Sun 2026-11-22 10:05 +00"},
		{"names", "0 0 * JAN-feb Mon", "UTC", "2026-11-22T08:50:00Z", "Mon 2027-01-04 00:00 +00"},
		{"Sunday is 7 too", "0 0 * * 7", "UTC", "2026-11-22T08:50:00Z", "Sun 2026-11-29 00:00 +00"},
		{"a range to Sunday", "0 0 * * 6-7", "UTC", "2026-11-22T08:50:00Z", "Sat 2026-11-28 00:00 +00,Sun 2026-11-29 00:00 +00,Sat 2026-12-05 00:00 +00"},
		{"either day", "0 0 13 * FRI", "UTC", "2026-11-22T00:00:00Z", "Fri 2026-11-27 00:00 +00,Fri 2026-12-04 00:00 +00,Fri 2026-12-11 00:00 +00,Sun 2026-12-13 00:00 +00"},
		{"a star with a step restricts no other day", "0 0 */2 * MON", "UTC", "2026-11-22T00:00:00Z", "Mon 2026-11-23 00:00 +00,Mon 2026-12-07 00:00 +00"},
		{"leap day", "0 0 29 2 *", "UTC", "2096-02-29T00:00:00Z", "Fri 2104-02-29 00:00 +00"},
		{"the last day of some months", "0 0 31 * *", "UTC", "2026-03-31T00:00:00Z", "Sun 2026-05-31 00:00 +00"},
		{"over the year", "@yearly", "UTC", "2026-11-22T00:00:00Z", "Fri 2027-01-01 00:00 +00"},
		{"a word in capitals", "@HOURLY", "UTC", "2026-11-22T00:00:00Z", "Sun 2026-11-22 01:00 +00"},
		{"in a zone", "0 3 * * *", "Asia/Kolkata", "2026-11-22T00:00:00Z", "Mon 2026-11-23 03:00 +0530"},

		// Clocks go from 02:00 to 03:00 on 29 March 2026 and back from 03:00 to 02:00 on 25 October.
		{"a skipped time comes when clocks change", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "Sun 2026-03-29 03:00 +02,Mon 2026-03-30 02:30 +02"},
		{"several skipped times come once", "*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "Sun 2026-03-29 03:00 +02,Mon 2026-03-30 02:00 +02"},
		{"a skipped time together with a real one", "0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "Sun 2026-03-29 03:00 +02,Mon 2026-03-30 02:00 +02"},
		{"a repeated time comes once", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "Sun 2026-10-25 02:30 +02,Mon 2026-10-26 02:30 +01"},
		{"from between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "Mon 2026-10-26 02:30 +01"},
		{"every hour goes on in spring", "15 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "Sun 2026-03-29 01:15 +01,Sun 2026-03-29 03:15 +02"},
		{"every hour goes on in autumn", "15 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", "Sun 2026-10-25 02:15 +02,Sun 2026-10-25 02:15 +01,Sun 2026-10-25 03:15 +01"},
		{"a change by half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", "Sun 2026-10-04 02:30 +11,Mon 2026-10-05 02:15 +11"},
		{"a day that was skipped", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "Sat 2011-12-31 00:00 +14,Sun 2012-12-30 12:00 +14"},
		{"midnight is skipped", "0 0 * * *", "Africa/Cairo", "2024-04-25T00:00:00Z", "Fri 2024-04-26 01:00 +03,Sat 2024-04-27 00:00 +03"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x, err := cron.Parse(c.expression)
			require.NoError(t, err)
			at, err := time.Parse(time.RFC3339Nano, c.after)
			require.NoError(t, err)
			for want := range strings.SplitSeq(c.next, ",") {
				at = x.Next(at, zone(t, c.zone))
				format := layout
				if strings.HasSuffix(want, "30 +0530") || strings.HasSuffix(want, "+0530") {
					format += "00"
				}
				require.Equal(t, want, at.Format(format))
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                    "five fields",
		"* * * *":             "five fields",
		"* * * * * *":         "five fields",
		"@every 5m":           "five fields",
		"@noon":               "five fields",
		"TZ=0":                "five fields",
		"TZ=UTC 0 3 * * *":    "five fields",
		"60 * * * *":          `minute: "60" is not between 0 and 59`,
		"* 24 * * *":          `hour: "24"`,
		"* * 0 * *":           `day of the month: "0"`,
		"* * * 13 *":          `month: "13"`,
		"* * * * 8":           `day of the week: "8"`,
		"* * * anf *":         `month: "anf"`,
		"5-1 * * * *":         "ends before it begins",
		"*/0 * * * *":         "step is not between 1 and 59",
		"*/60 * * * *":        "step is not between 1 and 59",
		"5/15 * * * *":        "a step needs a range",
		"+5 * * * *":          `"+5" is not`,
		"1,,2 * * * *":        `"" is not`,
		"- * * * *":           `"" is not`,
		"1-2-3 * * * *":       `"2-3" is not`,
		"99999999999 * * * *": "is not between",
		"* * * jan-dec/x *":   "the step is not",
		"0 0 30 2 *":          "none of the months has such a day",
		"0 0 31 4,6,9,11 */2": "none of the months has such a day",
		"61 25 * * *":         `hour: "25"`,
	} {
		_, err := cron.Parse(text)
		require.ErrorContains(t, err, says, text)
	}
	require.Zero(t, cron.Expression{}.Next(time.Now(), time.UTC))
}

// generate makes an expression that is valid in most cases.
func generate(t *rapid.T) string {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	return strings.Join([]string{
		pick("minute", "*", "0", "30", "*/7", "5,59", "10-20/3"), pick("hour", "*", "0", "2", "1-3", "*/5", "23", "2,3"),
		pick("dom", "*", "1", "31", "29-31", "*/2"), pick("month", "*", "3,10", "2", "*/3", "apr"), pick("dow", "*", "0", "1-5", "sun"),
	}, " ")
}

// The search must find what trying every minute finds.
func TestNextIsTheFirst(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns"}
	rapid.Check(t, func(t *rapid.T) {
		text := generate(t)
		x, err := cron.Parse(text)
		if err != nil {
			t.Skip(err)
		}
		loc := zone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		near := rapid.SampledFrom([]string{"2026-03-07T20:00:00Z", "2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z", "2026-10-31T20:00:00Z", "2026-10-03T10:00:00Z", "2026-06-01T00:00:00Z"}).Draw(t, "near")
		after, err := time.Parse(time.RFC3339, near)
		require.NoError(t, err)
		after = after.Add(time.Duration(rapid.IntRange(0, 20*3600).Draw(t, "seconds")) * time.Second)
		next := x.Next(after, loc)
		require.True(t, next.After(after))
		everyHour := strings.Fields(text)[1] == "*"
		first := time.Time{}
		seen := map[string]bool{} // readings that came before
		for at := after.Add(-26 * time.Hour).Truncate(time.Minute); at.Before(after.Add(3*24*time.Hour)) && first.IsZero(); at = at.Add(time.Minute) {
			was, is := reading(at.Add(-time.Minute), loc), reading(at, loc)
			due := false
			if everyHour {
				due = matches(x, is)
			} else {
				for r := was.Add(time.Minute); !r.After(is); r = r.Add(time.Minute) { // also what was skipped
					due = due || matches(x, r) && !seen[r.String()]
				}
				seen[is.String()] = true
			}
			if due && at.After(after) {
				first = at
			}
		}
		if first.IsZero() {
			require.False(t, next.Before(after.Add(3*24*time.Hour)), "%s after %s: %s", text, after.In(loc), next)
			return
		}
		require.Equal(t, first.UTC(), next.UTC(), "%s after %s", text, after.In(loc))
	})
}

func reading(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// matches asks where there is no change of clocks.
func matches(x cron.Expression, wall time.Time) bool {
	return x.Next(wall.Add(-1), time.UTC).Equal(wall)
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 3 * * *", "*/15 2-4 1,15 JAN-MAR mon", "@daily", "TZ=0", "0 0 29 2 *", "0 0 31 2 1", "@every 1s", "1-1/1 * * * 7"} {
		f.Add(text, int64(1_774_746_000))
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, at int64) {
		x, err := cron.Parse(text)
		if err != nil {
			return
		}
		after := time.Unix(at%(1<<36), 0)
		next := x.Next(after, berlin)
		require.True(t, next.After(after), "%q after %s: %s", text, after, next)
		again, err := cron.Parse(x.String())
		require.NoError(t, err)
		require.Equal(t, x, again)
	})
}
