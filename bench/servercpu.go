package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is the unit of /proc's CPU times; Linux shows 100 per second to every program, whatever its own clock.
const clockTick = 10 * time.Millisecond

// serverCPU is what PostgreSQL has used so far: its first process, the ended ones that it has waited for, and those that
// live. It is 0 where that cannot be seen: on a server elsewhere, or without /proc. Unlike a throughput, CPU per saga hardly
// changes when the machine is busy with something else.
func (l *lab) serverCPU(ctx context.Context) time.Duration {
	var dir string
	if err := l.admin.QueryRow(ctx, "show data_directory").Scan(&dir); err != nil {
		return 0
	}
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	postmaster := string(first)
	var ticks int64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the process has ended
		}
		_, rest, _ := bytes.Cut(text, []byte(") ")) // behind the process's name
		fields := bytes.Fields(rest)
		if len(fields) < 15 {
			continue
		}
		own := filepath.Base(filepath.Dir(name)) == postmaster
		if !own && string(fields[1]) != postmaster {
			continue
		}
		ticks += number(fields[11]) + number(fields[12]) // user, system
		if own {
			ticks += number(fields[13]) + number(fields[14]) // of children it has waited for
		}
	}
	return time.Duration(ticks) * clockTick
}

func number(text []byte) int64 {
	n, _ := strconv.ParseInt(string(text), 10, 64) // the kernel writes numbers here
	return n
}
