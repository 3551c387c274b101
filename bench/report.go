package main

import (
	"errors"
	"fmt"
	"io"
)

// report prints medians, goals and ratios; a contender with a failed round has none. Its error lists the failed ones.
func (r *results) report(out io.Writer) error {
	var errs []error
	fmt.Fprintf(out, "\nmedians of %d rounds\n%-19s %9s %s  spread  setting\n", r.Rounds, "", "in flight", heading)
	for _, c := range r.Cells {
		if c.Failed != "" {
			errs = append(errs, fmt.Errorf("%s with %d in flight: %s", c.Name, c.Level, c.Failed))
			fmt.Fprintf(out, "%-19s %9d FAILED\n", c.Name, c.Level)
			continue
		}
		fmt.Fprintf(out, "%-19s %9d %s %7s  %s\n", c.Name, c.Level, c.Median, share(c.spread()), c.Setting)
	}
	fmt.Fprintf(out, "\nin this process, per saga, harness included:\n")
	for _, c := range r.Cells {
		if c.Failed == "" {
			fmt.Fprintf(out, "%-19s %9d %6.0f allocations %7.0f B", c.Name, c.Level, c.Median.Allocs, c.Median.Bytes)
			if c.Median.Idle >= 0 {
				fmt.Fprintf(out, "   %.0f statements/s when idle", c.Median.Idle)
			}
			fmt.Fprintln(out)
		}
	}
	fmt.Fprintln(out)
	for _, g := range r.Goals {
		fmt.Fprintln(out, g)
	}
	for _, x := range r.Ratios {
		fmt.Fprintf(out, "latency mmf/%s in-flight=%d %.2f\n", x.Rival, x.Level, x.Latency)
	}
	for _, x := range r.Ratios {
		fmt.Fprintf(out, "cpu mmf/%s in-flight=%d %s\n", x.Rival, x.Level, known(x.CPU, 3))
	}
	for _, x := range r.Ratios {
		fmt.Fprintln(out, x.line())
	}
	return errors.Join(errs...)
}
