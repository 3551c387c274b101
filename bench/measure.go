package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"
)

// trial is one run of a contender.
type trial struct {
	contender
	inFlight int
	used     setting
	load     load
	idle     time.Duration // how long to look at it doing nothing first; 0: not
	profiles profiles
}

// profiles are files that a run's profiles are written to; "": none.
type profiles struct{ cpu, heap string }

// measure runs a trial on a database of its own, and checks that it did the work. There are no figures with an error.
func measure(ctx context.Context, l *lab, t trial) (figures, error) {
	runtime.GC()
	debug.FreeOSMemory() // of the one before
	goroutines := runtime.NumGoroutine()
	p, err := l.database(ctx, t.kind)
	if err != nil {
		return figures{}, err
	}
	defer p.drop()
	e, err := t.open(ctx, p.dsn, t.used)
	if err != nil {
		return figures{}, err
	}
	f, sagas, err := t.run(ctx, l, p, e)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err = errors.Join(err, e.close(closing)); err != nil {
		return figures{}, err
	}
	if err := errors.Join(l.left(ctx, p), ended(goroutines)); err != nil {
		return figures{}, err
	}
	if err := t.verify(ctx, p.dsn, sagas); err != nil {
		return figures{}, err
	}
	return f, nil
}

func (t trial) run(ctx context.Context, l *lab, p place, e engine) (f figures, sagas int64, err error) {
	if err := l.settle(ctx); err != nil {
		return f, 0, err
	}
	quiet := float64(unknown)
	if t.idle > 0 {
		if quiet, err = l.idle(ctx, p, t.idle); err != nil {
			return f, 0, err
		}
	}
	stop, err := t.profiles.start()
	if err != nil {
		return f, 0, err
	}
	from, err := l.read(ctx, p)
	if err == nil {
		f, sagas, err = drive(ctx, e, t.inFlight, t.load)
	}
	var to reading
	if err == nil {
		to, err = l.read(ctx, p)
	}
	f.perSaga(from, to, sagas)
	f.Idle = quiet
	return f, sagas, errors.Join(err, stop())
}

// ended waits for the goroutines of a contender that has been closed.
func ended(before int) error {
	for until := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			return fmt.Errorf("it left %d goroutines behind", runtime.NumGoroutine()-before)
		}
	}
	return nil
}

func (p profiles) start() (stop func() error, err error) {
	var cpu *os.File
	if p.cpu != "" {
		if cpu, err = os.Create(p.cpu); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, errors.Join(err, cpu.Close())
		}
	}
	return func() error {
		var errs []error
		if cpu != nil {
			pprof.StopCPUProfile()
			errs = append(errs, cpu.Close())
		}
		if p.heap != "" {
			errs = append(errs, writeHeap(p.heap))
		}
		return errors.Join(errs...)
	}, nil
}

// writeHeap writes what has been allocated since the process began.
func writeHeap(name string) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return pprof.Lookup("allocs").WriteTo(file, 0)
}
