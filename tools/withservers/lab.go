package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// kind is one sort of server and the ways to get it.
type kind struct {
	name, title string
	// optional servers may be missing in CI.
	optional bool
	// preset is the variable that, when set, names a server that runs already.
	preset string
	// packages lists what to install on Debian; commands, the programs which make that unnecessary.
	packages []string
	missing  func() bool
	// local starts the server from binaries on this machine, contained from an image.
	local, contained func(ctx context.Context, l *lab) (*server, error)
}

var kinds = []kind{
	{
		name: "postgres", title: "PostgreSQL", preset: "MMF_TEST_POSTGRES_DSN",
		packages: []string{"postgresql"}, missing: func() bool { return postgresFolder() == "" },
		local: startPostgres, contained: containPostgres,
	},
	{
		name: "redis", title: "Redis", preset: "MMF_TEST_REDIS_ADDR",
		packages: []string{"redis-server"}, missing: func() bool { return !onPath("redis-server") },
		local: startRedis, contained: containRedis,
	},
	{
		name: "kafka", title: "Apache Kafka", preset: "MMF_TEST_KAFKA_BROKERS", optional: true,
		packages: []string{"openjdk-17-jre-headless", "maven"},
		missing:  func() bool { return !onPath("java") || !kafkaCached() && !onPath("mvn") },
		local:    startKafka, contained: containKafka,
	},
}

// server is one server of this run, or the reason why there is none.
type server struct {
	kind    kind
	version string
	how     string
	took    time.Duration
	env     map[string]string
	err     error
}

// lab owns the folder and the processes of a run.
type lab struct {
	dir   string
	scale float64
	count bool // PostgreSQL is to count statements
	spawn *spawner

	mu    sync.Mutex
	stops []func() error
}

func newLab() (*lab, error) {
	scale := 1.0
	if v := os.Getenv("MMF_TIME_SCALE"); v != "" {
		var err error
		if scale, err = strconv.ParseFloat(v, 64); err != nil || scale <= 0 {
			return nil, fmt.Errorf("MMF_TIME_SCALE must be a number above 0, not %q", v)
		}
	}
	dir, err := os.MkdirTemp("", "mmf-servers-")
	if err != nil {
		return nil, err
	}
	// PostgreSQL runs as somebody else when we are root, and must be able to walk in.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return &lab{dir: dir, scale: scale, spawn: newSpawner()}, nil
}

// limit is d on a machine of ordinary speed.
func (l *lab) limit(d time.Duration) time.Duration { return time.Duration(float64(d) * l.scale) }

// atEnd has stop called when the lab closes.
func (l *lab) atEnd(stop func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stops = append(l.stops, stop)
}

// start brings every kind up, all at once, and returns when each is ready or has failed.
func (l *lab) start(ctx context.Context, kinds []kind) []*server {
	installed := install(ctx, kinds)
	servers := make([]*server, len(kinds))
	var all sync.WaitGroup
	for i, k := range kinds {
		all.Go(func() {
			begin := time.Now()
			s, err := l.startOne(ctx, k)
			if err != nil {
				s = &server{err: errors.Join(err, installed[k.name])}
			}
			s.kind, s.took = k, time.Since(begin)
			servers[i] = s
		})
	}
	all.Wait()
	return servers
}

func (l *lab) startOne(ctx context.Context, k kind) (*server, error) {
	if address := os.Getenv(k.preset); address != "" {
		return &server{version: "of unknown version", how: "named by " + k.preset}, nil
	}
	if !k.missing() {
		return k.local(ctx, l)
	}
	if engineAnswers(ctx) {
		return k.contained(ctx, l)
	}
	return nil, fmt.Errorf("not on this machine, and no container engine answers; on Debian: apt-get install %s", join(k.packages))
}

// close stops everything, at once since the servers do not depend on each other, and removes the folder.
func (l *lab) close(keep bool) error {
	l.mu.Lock()
	stops := l.stops
	l.stops = nil
	l.mu.Unlock()
	errs := make([]error, len(stops))
	var all sync.WaitGroup
	for i, stop := range stops {
		all.Go(func() { errs[i] = stop() })
	}
	all.Wait()
	if keep {
		fmt.Fprintln(os.Stderr, "withservers: kept", l.dir)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(l.dir))...)
}

// folder makes a folder of the lab.
func (l *lab) folder(name string) (string, error) {
	dir := filepath.Join(l.dir, name)
	return dir, os.MkdirAll(dir, 0o755)
}

// freePort finds a port that nothing listens on now. Somebody may take it before the server does; the server then says
// so and the run ends with its log, which is rare enough not to hide behind retries.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// until calls ready until it returns nil, the process is gone, or the time is over.
func until(ctx context.Context, limit time.Duration, p *process, ready func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended while starting (%w); its log ends:\n%s", p.err, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v (%w); set MMF_TIME_SCALE on a slow machine; its log ends:\n%s", limit, err, p.logTail())
		case <-pause.C:
		}
	}
}

// tail is the end of a log, for an error message.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 3000
	return string(bytes.TrimSpace(text[max(0, len(text)-most):]))
}
