package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is how long a contender is driven.
type load struct{ warm, measure time.Duration }

// figures is what one run showed.
type figures struct {
	perSecond     float64
	p50, p95, p99 time.Duration
	cpu           time.Duration // of this process, per saga
	server        time.Duration // of PostgreSQL, per saga; 0: not known
	wal           float64       // bytes per saga
}

func (f figures) String() string {
	return fmt.Sprintf("%8.0f sagas/s  p50 %8s  p95 %8s  p99 %8s  CPU per saga %5.0f µs client %5.0f µs server  WAL %5.0f B",
		f.perSecond, short(f.p50), short(f.p95), short(f.p99), float64(f.cpu)/1e3, float64(f.server)/1e3, f.wal)
}

func short(d time.Duration) string { return fmt.Sprintf("%.1fms", float64(d)/1e6) }

// measure runs one contender once, on a database of its own, and checks that it did the work.
func measure(ctx context.Context, l *lab, c contender, inFlight int, ld load, profile string) (f figures, err error) {
	dsn, drop, err := l.database(ctx)
	if err != nil {
		return f, err
	}
	defer drop()
	e, err := c.open(ctx, dsn)
	if err != nil {
		return f, err
	}
	var sagas int64
	f, sagas, err = driveProfiled(ctx, l, e, inFlight, ld, profile)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err = errors.Join(err, e.close(closing)); err != nil {
		return f, err
	}
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return f, err
	}
	defer func() { _ = db.Close(closing) }()
	return f, verify(ctx, db, c, sagas)
}

func driveProfiled(ctx context.Context, l *lab, e engine, inFlight int, ld load, profile string) (f figures, sagas int64, err error) {
	if err := l.settle(ctx); err != nil {
		return f, 0, err
	}
	if profile != "" {
		file, failed := os.Create(profile)
		if failed != nil {
			return f, 0, failed
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return f, 0, err
		}
		defer pprof.StopCPUProfile()
	}
	wal, err := l.wal(ctx)
	if err != nil {
		return f, 0, err
	}
	cpu, server := processCPU(), l.serverCPU(ctx)
	f, sagas, err = drive(ctx, e, inFlight, ld)
	if err != nil {
		return f, sagas, err
	}
	n := time.Duration(max(1, sagas))
	f.cpu, f.server = (processCPU()-cpu)/n, (l.serverCPU(ctx)-server)/n
	after, err := l.wal(ctx)
	f.wal = float64(after-wal) / float64(max(1, sagas))
	return f, sagas, err
}

// drive keeps inFlight callers busy. Each saga is checked; those that end in the measured part make the figures, and all of
// them are counted.
func drive(ctx context.Context, e engine, inFlight int, ld load) (figures, int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	from, to := began.Add(ld.warm), began.Add(ld.warm+ld.measure)
	latencies, total := make([][]time.Duration, inFlight), make([]int64, inFlight)
	var callers sync.WaitGroup
	for caller := range inFlight {
		callers.Go(func() {
			for {
				start := time.Now()
				if start.After(to) || ctx.Err() != nil {
					return
				}
				o := order{ID: fmt.Sprintf("order-%04d-%08d", caller, total[caller]), Cents: 4200}
				got, err := e.saga(ctx, o)
				if err == nil && got != finished(o) {
					err = fmt.Errorf("saga %s ended with %+v", o.ID, got)
				}
				if err != nil {
					cancel(err)
					return
				}
				total[caller]++
				if end := time.Now(); end.After(from) && !end.After(to) {
					latencies[caller] = append(latencies[caller], end.Sub(start))
				}
			}
		})
	}
	callers.Wait()
	var sagas int64
	for _, n := range total {
		sagas += n
	}
	if err := context.Cause(ctx); err != nil {
		return figures{}, sagas, err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return figures{}, sagas, fmt.Errorf("no saga ended within %s", ld.measure)
	}
	slices.Sort(all)
	return figures{
		perSecond: float64(len(all)) / ld.measure.Seconds(),
		p50:       quantile(all, 0.50), p95: quantile(all, 0.95), p99: quantile(all, 0.99),
	}, sagas, nil
}

// quantile of sorted, not empty values: the smallest one that at least a share q of them does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
