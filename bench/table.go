package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/marty-framework/mmf/internal/archtest"
)

// region is the name of the marked lines that a table replaces.
const region = "bench"

// tableHead is compared with the READMEs by a test, so that a change of columns is not forgotten there.
const tableHead = `| in flight | contender | sagas/s | p50 ms | p99 ms | commits | statements | kB written | CPU µs client + server | MMF is |
|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|
`

// publish writes the table of a file of results into READMEs.
func publish(name string, files []string) error {
	r, err := readResults(name)
	if err != nil {
		return err
	}
	table, err := r.markdown()
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		errs = append(errs, archtest.WriteRegion(file, region, table))
	}
	return errors.Join(errs...)
}

// markdown is the table, what it was measured on, and the goals. Results with a failed run have none: half a comparison is
// not to be shown.
func (r *results) markdown() (string, error) {
	var s strings.Builder
	s.WriteString(tableHead)
	for _, c := range r.Cells {
		if c.Failed != "" {
			return "", fmt.Errorf("%s failed with %d in flight: %s", c.Name, c.Level, c.Failed)
		}
	}
	for _, c := range r.Cells {
		f, times := c.Median, ""
		if x, ok := r.ratio(c.Name, c.Level); ok {
			times = fmt.Sprintf("%.2f×", x.PerSaga)
		}
		cpu := known(max(unknown, float64(f.ClientCPU)/1e3), 0)
		if f.ServerCPU >= 0 {
			cpu += " + " + micros(f.ServerCPU)
		}
		fmt.Fprintf(&s, "| %d | %s | %.0f | %s | %s | %s | %s | %s | %s | %s |\n", c.Level, c.Name, f.PerSecond, millis(f.P50), millis(f.P99),
			known(f.Commits, 2), known(f.Statements, 2), kilobytes(f.Written), cpu, times)
	}
	m := r.Machine
	fmt.Fprintf(&s, "\nMedians of %d rounds of %s; commits, statements, bytes and CPU are per saga of three steps. %d cores (%s) shared by client and server", //nolint:lll // prose
		r.Rounds, r.Measure, m.Cores, m.CPU)
	if m.Postgres != nil {
		p := m.Postgres
		fmt.Fprintf(&s, ", PostgreSQL %s, fsync=%s, synchronous_commit=%s", p["server_version"], p["fsync"], p["synchronous_commit"])
	}
	fmt.Fprintf(&s, ", %s, a page synced in %.2f ms.", m.Go, float64(m.Sync)/1e6)
	if busiest := r.others(); busiest > 0.05 {
		fmt.Fprintf(&s, " **Other programs used up to %s of the machine meanwhile: believe the CPU columns, not the rates.**", share(busiest))
	}
	s.WriteString("\n\n| goal | wanted | got | |\n|---|---:|---:|---|\n")
	for _, g := range r.Goals {
		got := "–"
		if g.Result != notMeasured {
			got = fmt.Sprintf("%.2f", g.Got)
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s |\n", g.What, g.Want, got, g.Result)
	}
	return s.String(), nil
}

// others is the largest share of the machine that something else took during a measurement.
func (r *results) others() float64 {
	most := float64(unknown)
	for _, c := range r.Cells {
		most = max(most, c.Median.Others)
	}
	return most
}

func kilobytes(bytes float64) string { return known(max(unknown, bytes/1000), 2) }
