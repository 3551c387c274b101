// Command bench measures what a saga costs: the same trivial saga of three steps through MMF and through its rivals, on one
// PostgreSQL, in one run.
//
//	make bench-saga                                                    # everything, on a PostgreSQL of its own
//	make bench-saga BENCHFLAGS='-only mmf,dbos -levels 64 -rounds 1'   # part of it
//	make bench-saga BENCHFLAGS='-only mmf -levels 512 -cpuprofile mmf.prof'
//
// The contenders:
//
//	mmf      this module's saga package on sagapg, public API, default configuration
//	naive    what one writes by hand in an afternoon: one transaction per step (naive.go)
//	dbos     DBOS Transact Go, default configuration
//	river    a chain of River jobs, each completing and enqueueing its successor in one transaction; 1 and 64 in flight only
//	ceiling  no engine at all: MMF's journal rows, as many as wait, in one unnest insert and commit per flush
//
// The load is closed: n callers, each starting a saga and waiting for its result before the next. A run gets a fresh
// database and its engine a fresh start; rounds interleave the contenders, in another order each time, and the figures are
// medians over the rounds. A run counts only if the work was done: every caller got the right result, and after the engine
// has stopped, the database holds every saga, finished, with the expected number of records. A run that fails this prints
// no figure, and the exit status is 1.
//
// The last lines of "make bench-saga" are for machines: "ratio mmf/<contender> in-flight=<n> <x>", of sagas per second; before
// them stand the same for the median latency. On a machine that does anything else meanwhile, compare CPU per saga instead.
//
// This is a module of its own so that users of MMF do not inherit the rivals' modules; it replaces MMF with the tree around
// it. When the root's go.mod changes, run "go -C bench mod tidy" too.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dsn        string
	only       string
	levels     string
	rounds     int
	load       load
	cpuProfile string
}

func main() {
	var o options
	flag.StringVar(&o.dsn, "dsn", os.Getenv("MMF_TEST_POSTGRES_DSN"), "URL of a PostgreSQL superuser")
	flag.StringVar(&o.only, "only", "mmf,naive,dbos,river,ceiling", "contenders, separated by commas")
	flag.StringVar(&o.levels, "levels", "1,64,512", "sagas in flight, separated by commas")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; figures are medians over them")
	flag.DurationVar(&o.load.measure, "duration", 4*time.Second, "measured part of a run")
	flag.DurationVar(&o.load.warm, "warmup", time.Second, "unmeasured part before it")
	flag.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of the last run to this file; combine with -only and -levels")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) error {
	chosen, err := choose(strings.Split(o.only, ","))
	if err != nil {
		return err
	}
	levels, err := numbers(o.levels)
	if err != nil {
		return err
	}
	if o.rounds < 1 {
		return fmt.Errorf("-rounds is %d: it must be at least 1", o.rounds)
	}
	l, err := newLab(ctx, o.dsn)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Fprintf(out, "%d cores, shared by client and server; PostgreSQL %s; %s; %d rounds of %s\n",
		runtime.NumCPU(), l.version, runtime.Version(), o.rounds, o.load.measure)

	var r results
	for round := range o.rounds {
		for _, level := range levels {
			for i := range chosen {
				c := chosen[(i+round)%len(chosen)]
				if c.most > 0 && level > c.most {
					continue
				}
				f, err := measure(ctx, l, c, level, o.load, o.cpuProfile)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.add(c.name, level, f, err)
				if err != nil {
					fmt.Fprintf(out, "round %d: %-8s in-flight=%-4d FAILED: %v\n", round+1, c.name, level, err)
					continue
				}
				fmt.Fprintf(out, "round %d: %-8s in-flight=%-4d %s\n", round+1, c.name, level, f)
			}
		}
	}
	return r.report(out)
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
