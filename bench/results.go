package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// results are everything that one invocation found; with -json they become a file.
type results struct {
	Machine machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	Warmup  string  `json:"warmup"`
	Measure string  `json:"measured"`
	Cells   []*cell `json:"results"`
	Tried   []try   `json:"settings_tried,omitempty"`
	Ratios  []ratio `json:"ratios"`
	Goals   []goal  `json:"goals"`
}

// cell is one contender at one level, in the order in which they were met.
type cell struct {
	Name    string    `json:"contender"`
	Level   int       `json:"in_flight"`
	Setting string    `json:"setting,omitempty"` // what was found best for it
	Failed  string    `json:"failed,omitempty"`  // why there are no figures
	Median  figures   `json:"median"`
	Runs    []figures `json:"rounds"`
}

// try is a run before the rounds, to find a contender's best setting.
type try struct {
	Name      string  `json:"contender"`
	Level     int     `json:"in_flight"`
	Setting   string  `json:"setting"`
	PerSecond float64 `json:"sagas_per_second"`
	Failed    string  `json:"failed,omitempty"`
}

func (r *results) add(name string, level int, setting string, f figures, err error) {
	c := r.find(name, level)
	if c == nil {
		c = &cell{Name: name, Level: level, Setting: setting}
		r.Cells = append(r.Cells, c)
	}
	switch {
	case err != nil && c.Failed == "":
		c.Failed = err.Error()
	case err == nil:
		c.Runs = append(c.Runs, f)
	}
	if c.Failed == "" {
		c.Median = medians(c.Runs)
	} else {
		c.Median = figures{}
	}
}

func (r *results) find(name string, level int) *cell {
	for _, c := range r.Cells {
		if c.Name == name && c.Level == level {
			return c
		}
	}
	return nil
}

// spread is how far the rounds lie apart, as a share of the median.
func (c *cell) spread() float64 {
	if len(c.Runs) < 2 || c.Median.PerSecond == 0 {
		return unknown
	}
	low, high := c.Runs[0].PerSecond, c.Runs[0].PerSecond
	for _, f := range c.Runs {
		low, high = min(low, f.PerSecond), max(high, f.PerSecond)
	}
	return (high - low) / c.Median.PerSecond
}

func (r *results) write(name string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

func readResults(name string) (*results, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &r, nil
}
