package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/archtest"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	require.EqualValues(t, 50, quantile(hundred, 0.50))
	require.EqualValues(t, 95, quantile(hundred, 0.95))
	require.EqualValues(t, 99, quantile(hundred, 0.99))
	require.EqualValues(t, 7, quantile([]time.Duration{7}, 0.99))
	require.EqualValues(t, 1, quantile([]time.Duration{1, 2}, 0.5))
	require.EqualValues(t, 2, quantile([]time.Duration{1, 2, 3}, 0.5))
	require.EqualValues(t, 3, quantile([]time.Duration{1, 2, 3}, 0.67))
}

func TestMediansAreOfEachFigureAlone(t *testing.T) {
	t.Parallel()
	m := medians([]figures{
		{PerSecond: 300, P50: 3, Commits: unknown, Sagas: 9, Idle: unknown},
		{PerSecond: 100, P50: 9, Commits: unknown, Sagas: 7, Idle: 20},
		{PerSecond: 200, P50: 6, Commits: unknown, Sagas: 8, Idle: unknown},
	})
	require.Equal(t, figures{PerSecond: 200, P50: 6, Commits: unknown, Sagas: 8, Idle: 20}, m, "idle statements are counted in one round only")
	require.Equal(t, figures{PerSecond: 100}, medians([]figures{{PerSecond: 300}, {PerSecond: 100}}), "one that was measured")
}

func TestCostPerSaga(t *testing.T) {
	t.Parallel()
	start := time.Now()
	from := reading{at: start, client: time.Second, server: 2 * time.Second, machine: 10 * time.Second, written: 1000, commits: 7, statements: 11, allocs: 5, bytes: 50}
	to := reading{at: start.Add(10 * time.Second), client: 3 * time.Second, server: 6 * time.Second, machine: 18 * time.Second, written: 5000, commits: 407, statements: 411, allocs: 205, bytes: 850}
	var f figures
	f.perSaga(from, to, 100)
	require.Equal(t, figures{
		ClientCPU: 20 * time.Millisecond, ServerCPU: 40 * time.Millisecond, ClientSeconds: 2, ServerSeconds: 4,
		Written: 40, Commits: 4, Statements: 4, Allocs: 2, Bytes: 8, Sagas: 100, Others: 0.2 / float64(runtime.NumCPU()),
	}, f)

	from.server, from.commits, from.statements, from.machine = unknown, unknown, unknown, unknown
	f = figures{}
	f.perSaga(from, to, 100)
	require.EqualValues(t, []float64{unknown, unknown, unknown, unknown}, []float64{float64(f.ServerCPU), f.Commits, f.Statements, f.Others})
	require.Equal(t, 20*time.Millisecond, time.Duration(f.cpu()), "what is not known is not subtracted")
}

func TestBusyReadsTheMachinesFirstLine(t *testing.T) {
	t.Parallel()
	require.Equal(t, 26*clockTick, busy([]byte("cpu  1 2 3 1000 2000 4 5 11 77 88\ncpu0 9 9 9 9 9 9 9 9 0 0\n")))
	require.EqualValues(t, unknown, busy([]byte("intr 1 2 3")))
}

// sample has a contender with a failed round.
func sample() *results {
	r := &results{Rounds: 3, Measure: "4s", Machine: machine{CPU: "abacus", Cores: 2, Go: "go1.26", Sync: time.Millisecond}}
	for _, x := range []float64{900, 300, 600} {
		f := figures{PerSecond: x, P50: time.Millisecond, P99: 2 * time.Millisecond, ClientCPU: time.Millisecond, ServerCPU: time.Millisecond}
		r.add("mmf", 64, "", f, nil)
		f.PerSecond, f.P50, f.ServerCPU = x/30, 2*time.Millisecond, 9*time.Millisecond
		r.add("dbos", 64, "10 connections", f, nil)
		r.add("mmf", 1, "", figures{PerSecond: 400, P50: time.Millisecond, Statements: 4.05, Idle: 20}, nil)
		r.add("dbos", 1, "", figures{PerSecond: 80, P50: 1500 * time.Microsecond}, nil)
	}
	r.compare(contenders())
	r.judge()
	return r
}

func TestReportEndsWithRatiosOfMedians(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, sample().report(&out))
	require.Contains(t, out.String(), `
goal sagas/s mmf/dbos in-flight=512: at least 25: not measured
goal sagas/s mmf/dbos in-flight=64: at least 10: 30.00, met
goal median latency mmf/dbos in-flight=1: at most 0.5: 0.67, not met
goal statements per plain step mmf in-flight=1: at most 1: 1.00, met
goal share of the ceiling mmf/ceiling in-flight=64: at least 0.5: not measured
goal share of the ceiling mmf/ceiling in-flight=512: at least 0.5: not measured
latency mmf/dbos in-flight=64 0.50
latency mmf/dbos in-flight=1 0.67
cpu mmf/dbos in-flight=64 0.200
cpu mmf/dbos in-flight=1 –
ratio mmf/dbos in-flight=64 30.00
ratio mmf/dbos in-flight=1 5.00
`)
	require.Contains(t, out.String(), "100%  10 connections\n", "900 and 300 around 600")
}

func TestAFailedRoundLeavesNoFigure(t *testing.T) {
	t.Parallel()
	r := sample()
	r.add("dbos", 64, "", figures{}, errors.New("lost a saga"))
	r.add("dbos", 64, "", figures{PerSecond: 1, P50: 1}, nil)
	r.compare(contenders())
	var out bytes.Buffer
	require.ErrorContains(t, r.report(&out), "dbos with 64 in flight: lost a saga")
	require.NotContains(t, out.String(), "ratio mmf/dbos in-flight=64")
	_, err := r.markdown()
	require.ErrorContains(t, err, "lost a saga")
}

func TestResultsSurviveTheFileAndBecomeATable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := sample()
	require.NoError(t, want.write(filepath.Join(dir, "results.json")))
	got, err := readResults(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	require.Equal(t, want, got)

	readme := filepath.Join(dir, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte("before\n<!-- begin: bench -->\nold\n<!-- end: bench -->\nafter\n"), 0o600))
	require.NoError(t, publish(filepath.Join(dir, "results.json"), []string{readme}))
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "before\n<!-- begin: bench -->\n"+tableHead+
		"| 64 | mmf | 600 | 1.00 | 2.00 | 0.00 | 0.00 | 0.00 | 1000 + 1000 |  |\n"+
		"| 64 | dbos | 20 | 2.00 | 2.00 | 0.00 | 0.00 | 0.00 | 1000 + 9000 | 30.00× |\n"), string(text))
	require.True(t, strings.HasSuffix(string(text), "\n<!-- end: bench -->\nafter\n"))
	require.NotContains(t, string(text), "old")
}

func TestATableTakenOnABusyMachineSaysSo(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Cells[0].Median.Others = 0.4
	table, err := r.markdown()
	require.NoError(t, err)
	require.Contains(t, table, "Other programs used up to 40% of the machine")
}

func TestREADMETablesHaveTodaysColumns(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "../README.md"} {
		table, err := archtest.ReadRegion(file, region)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(table, tableHead), "%s has other columns: run make bench-saga BENCHFLAGS='-json bench/results.json' && make bench-readme", file)
	}
}
