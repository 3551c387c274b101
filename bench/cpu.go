package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// clockTick is the unit of /proc's CPU times; Linux shows 100 per second to every program, whatever its own clock.
const clockTick = 10 * time.Millisecond

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// machineCPU is what all processes have used so far; unknown without /proc.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return unknown
	}
	return busy(text)
}

// busy adds up the first line of /proc/stat: user nice system idle iowait irq softirq steal; the guests' are in user.
func busy(stat []byte) time.Duration {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return unknown
	}
	var ticks int64
	for i, f := range fields[1:9] {
		if i != 3 && i != 4 {
			ticks += number(f)
		}
	}
	return time.Duration(ticks) * clockTick
}

// writtenByUs is how many bytes this process has passed to write calls; unknown without /proc.
func writtenByUs() int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return unknown
	}
	for line := range bytes.Lines(text) {
		if value, ok := bytes.CutPrefix(line, []byte("wchar: ")); ok {
			return number(bytes.TrimSpace(value))
		}
	}
	return unknown
}

// serverCPU is what PostgreSQL has used so far: its first process, the ended ones that it has waited for, and those that
// live. It is unknown where that cannot be seen: on a server elsewhere, or without /proc. Unlike a throughput, CPU per saga
// hardly changes when the machine is busy with something else.
func (l *lab) serverCPU(ctx context.Context) time.Duration {
	var dir string
	if err := l.admin.QueryRow(ctx, "show data_directory").Scan(&dir); err != nil {
		return unknown
	}
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return unknown
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	postmaster := string(first)
	var ticks int64
	found := false
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
			found = true
			ticks += number(fields[13]) + number(fields[14]) // of children it has waited for
		}
	}
	if !found {
		return unknown
	}
	return time.Duration(ticks) * clockTick
}

func number(text []byte) int64 {
	n, _ := strconv.ParseInt(string(text), 10, 64) // the kernel writes numbers here
	return n
}
