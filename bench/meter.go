package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// unknown stands for a count that nobody keeps on this database or machine.
const unknown = -1

// reading is what has been used up to a moment; the difference of two is what a run cost.
type reading struct {
	at         time.Time
	client     time.Duration // CPU of this process
	server     time.Duration // CPU of PostgreSQL
	machine    time.Duration // CPU of every process on the machine
	allocs     uint64        // of this process
	bytes      uint64        // allocated by this process
	written    int64         // bytes: to PostgreSQL's log, or by this process to files of SQLite
	commits    int64         // of transactions that wrote something
	statements int64         // BEGIN and COMMIT included
}

func (l *lab) read(ctx context.Context, p place) (r reading, err error) {
	r = reading{server: unknown, commits: unknown, statements: unknown}
	if p.kind == onPostgres {
		r.server = l.serverCPU(ctx)
		// Every transaction that writes takes a number, and takes it at once; the counts of pg_stat_database come late. On a
		// server of our own all of them are the contender's.
		err = l.admin.QueryRow(ctx, `select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint,
			pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&r.written, &r.commits)
		if err == nil && l.counts {
			r.statements, err = l.statements(ctx, p)
		}
	} else {
		r.written = writtenByUs()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r.allocs, r.bytes = m.Mallocs, m.TotalAlloc
	r.client, r.machine, r.at = processCPU(), machineCPU(), time.Now()
	return r, err
}

func (l *lab) statements(ctx context.Context, p place) (n int64, err error) {
	var dropped int64
	err = l.admin.QueryRow(ctx, `select coalesce(sum(calls), 0)::bigint, (select dealloc from pg_stat_statements_info)
		from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = $1`, p.name).Scan(&n, &dropped)
	if err == nil && dropped > 0 {
		err = errors.New("pg_stat_statements has forgotten statements: raise pg_stat_statements.max")
	}
	return n, err
}

// perSaga puts the cost between two readings into figures.
func (f *figures) perSaga(from, to reading, sagas int64) {
	n := float64(max(1, sagas))
	f.Sagas = sagas
	f.ClientCPU = time.Duration(float64(to.client-from.client) / n)
	f.ClientSeconds = (to.client - from.client).Seconds()
	f.Allocs, f.Bytes = float64(to.allocs-from.allocs)/n, float64(to.bytes-from.bytes)/n
	f.Written = each(from.written, to.written, n)
	f.Commits, f.Statements = each(from.commits, to.commits, n), each(from.statements, to.statements, n)
	f.ServerCPU, f.ServerSeconds = unknown, unknown
	ours := to.client - from.client
	if from.server != unknown && to.server != unknown {
		f.ServerCPU = time.Duration(float64(to.server-from.server) / n)
		f.ServerSeconds = (to.server - from.server).Seconds()
		ours += to.server - from.server
	}
	f.Others = unknown
	if all := to.at.Sub(from.at) * time.Duration(runtime.NumCPU()); from.machine != unknown && to.machine != unknown && all > 0 {
		f.Others = max(0, float64(to.machine-from.machine-ours)/float64(all))
	}
}

func each(from, to int64, n float64) float64 {
	if from == unknown || to == unknown {
		return unknown
	}
	return float64(to-from) / n
}

// idle is how many statements a second an engine sends that has nothing to do: leases, polls.
func (l *lab) idle(ctx context.Context, p place, during time.Duration) (float64, error) {
	if p.kind != onPostgres || !l.counts {
		return unknown, nil
	}
	from, err := l.statements(ctx, p)
	if err != nil {
		return unknown, err
	}
	select {
	case <-time.After(during):
	case <-ctx.Done():
		return unknown, ctx.Err()
	}
	to, err := l.statements(ctx, p)
	if err != nil {
		return unknown, fmt.Errorf("counting statements: %w", err)
	}
	return float64(to-from) / during.Seconds(), nil
}
