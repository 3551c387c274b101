// Command withservers runs a command beside real servers: a private PostgreSQL, Redis and Apache Kafka, each on a free
// loopback port and in a temporary folder, all gone when the command ends.
//
//	go run -C tools ./withservers -- go test -race ./...
//	go run -C tools ./withservers -only postgres -- go test -race ./data/...
//
// The command runs at the root of the repository unless -dir says otherwise, and finds the servers in its environment:
//
//	MMF_TEST_POSTGRES_DSN   a superuser's URL; tests create their own databases or schemas
//	MMF_TEST_POSTGRES_BIN   the folder of initdb and postgres, for tests that kill and restart a server of their own
//	MMF_TEST_REDIS_ADDR     host:port
//	MMF_TEST_KAFKA_BROKERS  host:port; topics are not created on first use
//	MMF_TEST_REQUIRE=1      with CI=true or -require: a test that lacks PostgreSQL or Redis fails instead of skipping
//
// A server whose variable is set already is used as it is. What is missing comes from, in this order: binaries on the
// machine, Debian packages (as root), a container engine that answers; Kafka's jars come through Maven and are kept in
// the user's cache folder. A missing PostgreSQL or Redis is an error with -require or CI=true and a line of the summary
// otherwise; a missing Kafka is always a line of the summary. MMF_TIME_SCALE multiplies every time limit.
//
// The exit status is the command's own; 125 says that the servers could not be had.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// exitServers is the status for "the command never ran"; it is what env(1) and docker(1) use for the same.
const exitServers = 125

func main() {
	only := flag.String("only", "postgres,redis,kafka", "servers to start, separated by commas")
	dir := flag.String("dir", "", "the command's working directory (default: the root of the repository)")
	require := flag.Bool("require", truthy(os.Getenv("CI")) || truthy(os.Getenv("MMF_TEST_REQUIRE")), "fail when PostgreSQL or Redis is missing")
	keep := flag.Bool("keep", false, "keep the servers' folder, with their logs")
	count := flag.Bool("count-statements", false, "have PostgreSQL count statements with pg_stat_statements, where that is installed")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: withservers [flags] -- command [arguments]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	status, err := run(strings.Split(*only, ","), *dir, *require, *keep, *count, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
	}
	os.Exit(status)
}

func run(only []string, dir string, require, keep, count bool, command []string) (status int, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	if dir == "" {
		if dir, err = repositoryRoot(); err != nil {
			return exitServers, err
		}
	}
	kinds, err := choose(only)
	if err != nil {
		return 2, err
	}
	l, err := newLab()
	if err != nil {
		return exitServers, err
	}
	l.count = count
	defer func() { err = errors.Join(err, l.close(keep)) }()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	started := make(chan []*server, 1)
	go func() { started <- l.start(ctx, kinds) }()
	var servers []*server
	select {
	case servers = <-started:
	case s := <-signals:
		cancel()
		<-started
		return exitServers, fmt.Errorf("stopped by %v while servers were starting", s)
	}
	defer summary(os.Stdout, servers)

	if require {
		for _, s := range servers {
			if s.err != nil && !s.kind.optional {
				return exitServers, fmt.Errorf("%s is required and could not be started: %w", s.kind.title, s.err)
			}
		}
	}
	return l.runCommand(dir, environment(servers, require), command, signals)
}

// choose maps names to kinds.
func choose(names []string) ([]kind, error) {
	var chosen []kind
	for _, name := range names {
		i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("no server is called %q; there are postgres, redis and kafka", name)
		}
		chosen = append(chosen, kinds[i])
	}
	return chosen, nil
}

// environment is this process's, with the servers added.
func environment(servers []*server, require bool) []string {
	env := os.Environ()
	for _, s := range servers {
		for name, value := range s.env {
			env = append(env, name+"="+value)
		}
	}
	if require {
		env = append(env, "MMF_TEST_REQUIRE=1")
	}
	return env
}

// repositoryRoot is the nearest folder above this one that has both a go.mod and a tools module, so that the command's
// folder does not depend on "go run -C".
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if exists(filepath.Join(dir, "go.mod")) && exists(filepath.Join(dir, "tools", "go.mod")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside the repository; say where the command shall run with -dir", start)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func truthy(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "false")
}
