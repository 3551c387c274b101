package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// figures are what one run showed, or the medians of several. A negative one is not known.
type figures struct {
	PerSecond     float64       `json:"sagas_per_second"`
	P50           time.Duration `json:"p50_ns"`
	P95           time.Duration `json:"p95_ns"`
	P99           time.Duration `json:"p99_ns"`
	Commits       float64       `json:"commits_per_saga"`    // transactions that wrote
	Statements    float64       `json:"statements_per_saga"` // BEGIN and COMMIT included
	Written       float64       `json:"bytes_per_saga"`      // of PostgreSQL's log, or passed to SQLite's files
	ClientCPU     time.Duration `json:"client_cpu_ns_per_saga"`
	ServerCPU     time.Duration `json:"server_cpu_ns_per_saga"`
	ClientSeconds float64       `json:"client_cpu_seconds"` // of the whole run, warm-up included
	ServerSeconds float64       `json:"server_cpu_seconds"`
	Allocs        float64       `json:"client_allocs_per_saga"`
	Bytes         float64       `json:"client_heap_bytes_per_saga"`
	Idle          float64       `json:"idle_statements_per_second"`
	Others        float64       `json:"machine_share_of_others"` // of all cores' time
	Sagas         int64         `json:"sagas"`                   // run and verified, warm-up included
}

const heading = "  sagas/s     p50 ms     p95 ms     p99 ms  commits  stmts  bytes/saga  CPU µs/saga: client server  others"

func (f figures) String() string {
	return fmt.Sprintf("%9.0f %10s %10s %10s %8s %6s %11s %19s %6s %7s",
		f.PerSecond, millis(f.P50), millis(f.P95), millis(f.P99), known(f.Commits, 2), known(f.Statements, 2), known(f.Written, 0),
		micros(f.ClientCPU), micros(f.ServerCPU), share(f.Others))
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e6) }

func micros(d time.Duration) string { return known(max(unknown, float64(d)/1e3), 0) }

func share(x float64) string {
	if x < 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f%%", 100*x)
}

func known(x float64, digits int) string {
	if x < 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, x)
}

// medians of each figure on its own.
func medians(runs []figures) figures {
	of := func(get func(figures) float64) float64 { return median(runs, get) }
	span := func(get func(figures) time.Duration) time.Duration { return median(runs, get) }
	return figures{
		PerSecond:     of(func(f figures) float64 { return f.PerSecond }),
		P50:           span(func(f figures) time.Duration { return f.P50 }),
		P95:           span(func(f figures) time.Duration { return f.P95 }),
		P99:           span(func(f figures) time.Duration { return f.P99 }),
		Commits:       of(func(f figures) float64 { return f.Commits }),
		Statements:    of(func(f figures) float64 { return f.Statements }),
		Written:       of(func(f figures) float64 { return f.Written }),
		ClientCPU:     span(func(f figures) time.Duration { return f.ClientCPU }),
		ServerCPU:     span(func(f figures) time.Duration { return f.ServerCPU }),
		ClientSeconds: of(func(f figures) float64 { return f.ClientSeconds }),
		ServerSeconds: of(func(f figures) float64 { return f.ServerSeconds }),
		Allocs:        of(func(f figures) float64 { return f.Allocs }),
		Bytes:         of(func(f figures) float64 { return f.Bytes }),
		Idle:          slices.MaxFunc(runs, func(a, b figures) int { return cmp.Compare(a.Idle, b.Idle) }).Idle, // of the one round that looked
		Others:        of(func(f figures) float64 { return f.Others }),
		Sagas:         median(runs, func(f figures) int64 { return f.Sagas }),
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
