package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func server(t *testing.T) string {
	t.Helper()
	dsn := os.Getenv("MMF_TEST_POSTGRES_DSN")
	if dsn == "" {
		require.Empty(t, os.Getenv("CI"), "CI must not leave this out")
		t.Skip("needs PostgreSQL: run it through withservers")
	}
	return dsn
}

func laboratory(t *testing.T, chosen ...contender) *lab {
	t.Helper()
	dsn := os.Getenv("MMF_TEST_POSTGRES_DSN")
	for _, c := range chosen {
		if c.kind == onPostgres {
			dsn = server(t)
		}
	}
	l, err := newLab(t.Context(), dsn, chosen)
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l
}

func contenderNamed(t *testing.T, name string) contender {
	t.Helper()
	chosen, err := choose(name)
	require.NoError(t, err)
	return chosen[0]
}

// brief is long enough for a few sagas on a busy machine.
var brief = load{warm: 50 * time.Millisecond, measure: 2 * time.Second}

// Not parallel: a run waits for its contender's goroutines to end, and goroutines of other tests look like those.
func TestEveryContenderDoesTheWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	var out bytes.Buffer
	err := run(t.Context(), options{dsn: server(t), only: names(contenders()), levels: "8", rounds: 1, load: brief, untuned: true, json: file}, &out)
	require.NoError(t, err, out.String())
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	rivals := []string{"naive", "dbos", "river", "ceiling", "dbos-sqlite", "dbos-sqlite-normal"}
	for i, rival := range rivals {
		require.Regexp(t, `^ratio mmf/`+rival+` in-flight=8 \d+\.\d\d$`, lines[len(lines)-len(rivals)+i])
	}

	r, err := readResults(file)
	require.NoError(t, err)
	require.Len(t, r.Cells, len(contenders()))
	for _, c := range r.Cells {
		require.Positive(t, c.Median.Sagas, c.Name)
		require.Positive(t, c.Median.Written, c.Name)
		require.Positive(t, c.Median.ClientCPU, c.Name)
		require.Positive(t, c.Median.Allocs, c.Name)
		require.LessOrEqual(t, c.Median.P50, c.Median.P99, c.Name)
	}
	naive := r.find("naive", 8).Median
	require.GreaterOrEqual(t, naive.Commits, 3.99, "a start and three steps; others may use the server too")
	if r.Machine.Counts {
		require.InDelta(t, 13, naive.Statements, 0.5, "a start, and four per step")
	}
	table, err := r.markdown()
	require.NoError(t, err)
	require.Equal(t, len(contenders()), strings.Count(table, "\n| 8 |"))
}

func TestTheFastestSettingIsUsed(t *testing.T) {
	c := contenderNamed(t, "mmf-sqlite")
	l := laboratory(t, c)
	honest := c.open
	c.settings = func(int) []setting { return []setting{{writers: 9}, {writers: 1}, {writers: 3}} }
	c.open = func(ctx context.Context, dsn string, s setting) (engine, error) {
		e, err := honest(ctx, dsn, setting{})
		return slow{e, time.Duration(s.writers) * 50 * time.Millisecond}, err
	}
	var out bytes.Buffer
	r := &results{}
	used, err := tune(t.Context(), l, c, 2, &out, r)
	require.NoError(t, err)
	require.Equal(t, setting{writers: 1}, used)
	require.Len(t, r.Tried, 3)
	require.Equal(t, "settings: mmf-sqlite         in-flight=2    1 writers\n", out.String())
}

type slow struct {
	engine
	by time.Duration
}

func (s slow) saga(ctx context.Context, o order) (order, error) {
	time.Sleep(s.by)
	return s.engine.saga(ctx, o)
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]options{
		`there is no contender "cobol"`: {only: "mmf,cobol"},
		"mmf stands there twice":        {only: "mmf,mmf"},
		`"0" is not a positive number`:  {only: "mmf", levels: "1,0"},
		"-rounds must be at least 1":    {only: "mmf", levels: "1"},
		"no server: use make":           {only: "mmf", levels: "1", rounds: 1, load: brief},
		"its text is withheld":          {only: "mmf", levels: "1", rounds: 1, load: brief, dsn: "host=secret"},
	} {
		require.ErrorContains(t, run(t.Context(), o, &bytes.Buffer{}), want)
	}
}
