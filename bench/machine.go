package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// machine is what the figures were taken on.
type machine struct {
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"` // shared by client and server
	OS         string            `json:"os"`
	Go         string            `json:"go"`
	GOMAXPROCS int               `json:"gomaxprocs"`
	Sync       time.Duration     `json:"fsync_ns"` // median of writing and syncing one page in the folder of the temporary files
	Load       string            `json:"load_average_before"`
	Revision   string            `json:"revision,omitempty"` // of MMF
	Modules    map[string]string `json:"modules"`            // of the rivals and drivers
	Postgres   map[string]string `json:"postgres,omitempty"` // its settings
	Counts     bool              `json:"postgres_counts_statements"`
	Warnings   []string          `json:"warnings,omitempty"`
}

// settings of the server that decide what a commit costs.
var serverSettings = []string{
	"server_version", "fsync", "synchronous_commit", "wal_sync_method", "full_page_writes", "wal_level", "shared_buffers", "max_wal_size",
	"checkpoint_timeout", "autovacuum", "max_connections", "shared_preload_libraries",
}

var modules = []string{
	"github.com/dbos-inc/dbos-transact-golang", "github.com/riverqueue/river", "github.com/jackc/pgx/v5", "modernc.org/sqlite",
}

func (l *lab) describe(ctx context.Context) (machine, error) {
	m := machine{
		CPU: cpuModel(), Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), GOMAXPROCS: runtime.GOMAXPROCS(0),
		Modules: map[string]string{},
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				m.Revision = s.Value + m.Revision
			case s.Key == "vcs.modified" && s.Value == "true":
				m.Revision += " and changes"
			}
		}
		for _, d := range info.Deps {
			if slices.Contains(modules, d.Path) {
				m.Modules[d.Path] = d.Version
			}
		}
	}
	var err error
	if m.Sync, err = syncTime(l.dir); err != nil {
		return m, err
	}
	if m.Sync < 20*time.Microsecond {
		m.Warnings = append(m.Warnings, fmt.Sprintf("syncing a page takes %s: %s is not on a disk, or the disk does not wait", m.Sync, l.dir))
	}
	if l.admin == nil {
		return m, nil
	}
	m.Counts = l.counts
	if !l.counts {
		m.Warnings = append(m.Warnings, "the server has not loaded pg_stat_statements: statements are not known")
	}
	m.Postgres = map[string]string{}
	for _, name := range serverSettings {
		var value string
		if err := l.admin.QueryRow(ctx, `select current_setting($1)`, name).Scan(&value); err != nil {
			return m, err
		}
		m.Postgres[name] = value
	}
	return m, nil
}

func (m machine) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d cores (%s), shared by client and server; %s %s, GOMAXPROCS %d\n", m.Cores, m.CPU, m.OS, m.Go, m.GOMAXPROCS)
	fmt.Fprintf(&s, "writing and syncing a page: %s; load average before: %s\n", m.Sync.Round(time.Microsecond), m.Load)
	if m.Postgres != nil {
		fmt.Fprintf(&s, "PostgreSQL %s;", m.Postgres["server_version"])
		for _, name := range serverSettings[1:] {
			fmt.Fprintf(&s, " %s=%s", name, m.Postgres[name])
		}
		fmt.Fprintln(&s)
	}
	fmt.Fprintf(&s, "MMF %s", m.Revision)
	for _, name := range modules {
		fmt.Fprintf(&s, "; %s %s", name, m.Modules[name])
	}
	fmt.Fprintln(&s)
	for _, w := range m.Warnings {
		fmt.Fprintf(&s, "WARNING: %s\n", w)
	}
	return s.String()
}

func cpuModel() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// syncTime writes and syncs pages one after the other: the time of a commit that costs nothing else.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	page := make([]byte, 8192)
	times := make([]time.Duration, 51)
	for i := range times {
		start := time.Now()
		if _, err := file.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return quantile(times, 0.5), nil
}
