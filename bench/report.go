package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// results collects the rounds of each contender and level, in the order in which they were met.
type results struct{ cells []*cell }

type cell struct {
	name  string
	level int
	runs  []figures
	errs  []error
}

func (r *results) add(name string, level int, f figures, err error) {
	c := r.find(name, level)
	if c == nil {
		c = &cell{name: name, level: level}
		r.cells = append(r.cells, c)
	}
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.runs = append(c.runs, f)
}

func (r *results) find(name string, level int) *cell {
	for _, c := range r.cells {
		if c.name == name && c.level == level {
			return c
		}
	}
	return nil
}

// report prints medians and ratios; a contender with a failed run has neither. Its error lists the failed ones.
func (r *results) report(out io.Writer) error {
	var errs []error
	fmt.Fprintf(out, "\nmedians over the rounds:\n")
	for _, c := range r.cells {
		if len(c.errs) > 0 {
			errs = append(errs, fmt.Errorf("%s with %d in flight: %w", c.name, c.level, c.errs[0]))
			fmt.Fprintf(out, "%-8s in-flight=%-4d FAILED\n", c.name, c.level)
			continue
		}
		fmt.Fprintf(out, "%-8s in-flight=%-4d %s\n", c.name, c.level, c.median())
	}
	r.compare(out, "latency", func(f figures) float64 { return float64(f.p50) })
	r.compare(out, "ratio", func(f figures) float64 { return f.perSecond })
	return errors.Join(errs...)
}

// compare prints one line per rival and level: MMF's figure divided by the rival's.
func (r *results) compare(out io.Writer, word string, of func(figures) float64) {
	for _, c := range r.cells {
		own := r.find("mmf", c.level)
		if c.name == "mmf" || own == nil || len(c.errs) > 0 || len(own.errs) > 0 || of(c.median()) == 0 {
			continue
		}
		fmt.Fprintf(out, "%s mmf/%s in-flight=%d %.2f\n", word, c.name, c.level, of(own.median())/of(c.median()))
	}
}

func (c *cell) median() figures {
	return figures{
		perSecond: median(c.runs, func(f figures) float64 { return f.perSecond }),
		p50:       median(c.runs, func(f figures) time.Duration { return f.p50 }),
		p95:       median(c.runs, func(f figures) time.Duration { return f.p95 }),
		p99:       median(c.runs, func(f figures) time.Duration { return f.p99 }),
		cpu:       median(c.runs, func(f figures) time.Duration { return f.cpu }),
		server:    median(c.runs, func(f figures) time.Duration { return f.server }),
		wal:       median(c.runs, func(f figures) float64 { return f.wal }),
	}
}

// median of one figure; of an even number of runs the lower of the two in the middle, so that it is one that was measured.
func median[T cmp.Ordered](runs []figures, of func(figures) T) T {
	values := make([]T, len(runs))
	for i, f := range runs {
		values[i] = of(f)
	}
	slices.Sort(values)
	return values[(len(values)-1)/2]
}
