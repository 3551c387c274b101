// Command bench measures what a saga costs: the same trivial saga of three steps through MMF and through its rivals, on one
// PostgreSQL and on SQLite, in one run. README.md says how it keeps the comparison fair, and shows the last figures.
//
//	make bench-saga                                                    # everything, on a PostgreSQL of its own
//	make bench-saga BENCHFLAGS='-only mmf,dbos -levels 64 -rounds 1'   # part of it
//	make bench-saga BENCHFLAGS='-only mmf -levels 512 -rounds 1 -cpuprofile /tmp/mmf.prof'
//	make bench-saga BENCHFLAGS='-json bench/results.json' && make bench-readme
//
// The last lines of "make bench-saga" are for machines: "ratio mmf/<contender> in-flight=<n> <x>", of sagas per second; before
// them stand the same for the median latency and for the CPU time of both sides per saga, which hardly changes when the
// machine does something else meanwhile. A contender on SQLite is compared with MMF on SQLite.
//
// This is a module of its own so that users of MMF do not inherit the rivals' modules; it replaces MMF with the tree around
// it. When the root's go.mod changes, run "go -C bench mod tidy" too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dsn      string
	only     string
	levels   string
	rounds   int
	load     load
	untuned  bool
	profiles profiles
	json     string
	table    string
	into     string
}

func main() {
	var o options
	flag.StringVar(&o.dsn, "dsn", os.Getenv("MMF_TEST_POSTGRES_DSN"), "URL of a PostgreSQL superuser")
	flag.StringVar(&o.only, "only", names(contenders()), "contenders, separated by commas")
	flag.StringVar(&o.levels, "levels", "1,64,512", "sagas in flight, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; figures are medians over them")
	flag.DurationVar(&o.load.measure, "duration", 3*time.Second, "measured part of a run")
	flag.DurationVar(&o.load.warm, "warmup", time.Second, "unmeasured part before it")
	flag.BoolVar(&o.untuned, "untuned", false, "do not look for the rivals' best settings first")
	flag.StringVar(&o.profiles.cpu, "cpuprofile", "", "write a CPU profile of the last run to this file; combine with -only and -levels")
	flag.StringVar(&o.profiles.heap, "memprofile", "", "write a profile of all allocations up to the end of the last run to this file")
	flag.StringVar(&o.json, "json", "", "write everything that was found to this file")
	flag.StringVar(&o.table, "table", "", "measure nothing: read such a file, and write its table into the files of -into")
	flag.StringVar(&o.into, "into", "", "README files with the lines <!-- begin: bench --> and <!-- end: bench -->, separated by commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	if o.table != "" {
		return publish(o.table, strings.Split(o.into, ","))
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	levels, err := numbers(o.levels)
	if err != nil {
		return err
	}
	if o.rounds < 1 || o.load.measure <= 0 || o.load.warm < 0 {
		return errors.New("-rounds must be at least 1, -duration positive, -warmup not negative")
	}
	l, err := newLab(ctx, o.dsn, chosen)
	if err != nil {
		return err
	}
	defer l.close()
	r := &results{Rounds: o.rounds, Warmup: o.load.warm.String(), Measure: o.load.measure.String()}
	if r.Machine, err = l.describe(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s%d rounds of %s after %s\n\n", r.Machine, o.rounds, o.load.measure, o.load.warm)
	if err := rounds(ctx, l, o, chosen, levels, r, out); err != nil {
		return err
	}
	r.compare(chosen)
	r.judge()
	if o.json != "" {
		err = r.write(o.json)
	}
	return errors.Join(r.report(out), err)
}

// rounds interleaves the contenders, in another order each time.
func rounds(ctx context.Context, l *lab, o options, chosen []contender, levels []int, r *results, out io.Writer) error {
	type key struct {
		name  string
		level int
	}
	used := map[key]setting{}
	for round := range o.rounds {
		for _, level := range levels {
			for i := range chosen {
				c := chosen[(i+round)%len(chosen)]
				if c.most > 0 && level > c.most {
					continue
				}
				t := trial{contender: c, inFlight: level, load: o.load, profiles: o.profiles}
				if level == 1 && round == 0 {
					t.idle = 4 * time.Second // two beats of MMF's leases
				}
				var err error
				if setting, known := used[key{c.name, level}]; known {
					t.used = setting
				} else if o.untuned {
					t.used = c.first(level)
				} else if t.used, err = tune(ctx, l, c, level, out, r); err == nil {
					used[key{c.name, level}] = t.used
				}
				var f figures
				if err == nil {
					f, err = measure(ctx, l, t)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.add(c.name, level, t.used.String(), f, err)
				if err != nil {
					fmt.Fprintf(out, "round %d: %-18s in-flight=%-4d FAILED: %v\n", round+1, c.name, level, err)
					continue
				}
				fmt.Fprintf(out, "round %d: %-18s in-flight=%-4d %9.0f sagas/s  p50 %s ms\n", round+1, c.name, level, f.PerSecond, millis(f.P50))
			}
		}
	}
	return nil
}

func numbers(list string) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-levels: %q is not a positive number", s)
		}
		out = append(out, n)
	}
	return out, nil
}
