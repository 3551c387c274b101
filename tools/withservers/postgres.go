package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgresFolder finds initdb and postgres; Debian keeps them off the PATH, one folder per major version.
func postgresFolder() string {
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	sort.Slice(folders, func(i, j int) bool { return major(folders[i]) > major(folders[j]) })
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil { // a link alone lacks its neighbours
			folders = append([]string{filepath.Dir(real)}, folders...)
		}
	}
	for _, pattern := range []string{"/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"} {
		more, _ := filepath.Glob(pattern)
		folders = append(folders, more...)
	}
	for _, folder := range folders {
		if !slices.ContainsFunc([]string{"initdb", "postgres", "pg_isready"}, func(p string) bool { return !exists(filepath.Join(folder, p)) }) {
			return folder
		}
	}
	return ""
}

func major(folder string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	return n
}

func startPostgres(ctx context.Context, l *lab) (*server, error) {
	bin := postgresFolder()
	dir, err := l.folder("postgres")
	if err != nil {
		return nil, err
	}
	attr, err := unprivileged(dir)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	data, secret := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o644); err != nil { // readable by the server's user; it lives for a moment
		return nil, err
	}
	// --no-sync spares the syncing of a fresh, empty cluster. The server itself keeps fsync on: tests of durability mean it.
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "mmf", "--pwfile", secret,
		"-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync")
	initdb.Dir, initdb.SysProcAttr, initdb.Env = dir, attr, plainEnv(dir)
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := os.Remove(secret); err != nil {
		return nil, err
	}
	args := []string{
		"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "wal_level=logical", "-c", "fsync=on", "-c", "synchronous_commit=on",
	}
	if l.count && countsStatements(ctx, bin) {
		args = append(args, "-c", "shared_preload_libraries=pg_stat_statements")
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Env = dir, plainEnv(dir)
	own := *attr
	cmd.SysProcAttr = &own
	// "Fast" shutdown first; "immediate" if a client's query holds it up.
	p, err := l.serve(cmd, filepath.Join(l.dir, "postgres.log"), syscall.SIGINT, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	err = until(ctx, l.limit(30*time.Second), p, func(ctx context.Context) error {
		return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run()
	})
	if err != nil {
		return nil, err
	}
	return &server{
		version: programVersion(ctx, filepath.Join(bin, "postgres"), "--version"),
		how:     bin,
		env:     map[string]string{"MMF_TEST_POSTGRES_DSN": postgresURL(port, password), "MMF_TEST_POSTGRES_BIN": bin},
	}, nil
}

// countsStatements says whether the library is there: a server that is told to load it does not start without.
func countsStatements(ctx context.Context, bin string) bool {
	dir, err := exec.CommandContext(ctx, filepath.Join(bin, "pg_config"), "--pkglibdir").Output()
	if err != nil {
		return false
	}
	found, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "pg_stat_statements.*"))
	return len(found) > 0
}

func postgresURL(port int, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("mmf", password), Host: "127.0.0.1:" + strconv.Itoa(port),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return u.String()
}

// unprivileged gives dir to a user whom PostgreSQL accepts: it refuses to run as root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	var problems []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
			problems = append(problems, err)
			continue
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, fmt.Errorf("PostgreSQL refuses to run as root, and no other user was found: %w", errors.Join(problems...))
}

// plainEnv keeps the caller's locale and PG… variables away from the server.
func plainEnv(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
}

// programVersion is the first word with a dot and a digit in what a program says about itself.
func programVersion(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return "of unknown version"
	}
	for word := range strings.FieldsSeq(string(out)) {
		word = strings.TrimPrefix(word, "v=")
		if word[0] >= '0' && word[0] <= '9' && strings.Contains(word, ".") {
			return word
		}
	}
	return strings.TrimSpace(string(out))
}
