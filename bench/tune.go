package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// tuning is how long one setting is tried.
var tuning = load{warm: 400 * time.Millisecond, measure: 1200 * time.Millisecond}

// tune tries the settings of a contender and returns the fastest, for that level. Settings that fail are out.
func tune(ctx context.Context, l *lab, c contender, level int, out io.Writer, r *results) (setting, error) {
	if c.settings == nil {
		return setting{}, nil
	}
	settings := c.settings(level)
	if len(settings) == 1 {
		return settings[0], nil
	}
	best, most := settings[0], 0.0
	var failures []error
	for _, s := range settings {
		f, err := measure(ctx, l, trial{contender: c, inFlight: level, used: s, load: tuning})
		if ctx.Err() != nil {
			return setting{}, ctx.Err()
		}
		t := try{Name: c.name, Level: level, Setting: s.String(), PerSecond: f.PerSecond}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", s, err))
			t.Failed = err.Error()
		}
		r.Tried = append(r.Tried, t)
		if f.PerSecond > most {
			best, most = s, f.PerSecond
		}
	}
	if len(failures) == len(settings) {
		return setting{}, errors.Join(failures...)
	}
	fmt.Fprintf(out, "settings: %-18s in-flight=%-4d %s\n", c.name, level, best)
	return best, nil
}

// first is the setting that is used untried.
func (c contender) first(level int) setting {
	if c.settings == nil {
		return setting{}
	}
	return c.settings(level)[0]
}
