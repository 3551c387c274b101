package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// standIn is an engine of ten lines: it notes what it is asked, says that everything is ready, and runs nothing. It shows
// that containers are asked for as meant and removed afterwards, not that an image works.
const standIn = `#!/bin/sh
echo "$@" >> "$DOCKER_LOG"
case "$1" in
run) echo container-of-$$ ;;
exec) case "$*" in *--version) echo "postgres (PostgreSQL) 17.5" ;; esac ;;
esac
`

func TestContainersAreBoundToLoopbackAndRemoved(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(standIn), 0o700); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(bin, "log")
	t.Setenv("PATH", bin)
	t.Setenv("DOCKER_LOG", log)
	t.Setenv("MMF_TEST_POSTGRES_DSN", "")
	l, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	postgres := kinds[0]
	postgres.missing = func() bool { return true }
	servers := l.start(t.Context(), []kind{postgres})
	if err := servers[0].err; err != nil {
		t.Fatal(err)
	}
	if servers[0].version != "17.5" || !strings.HasPrefix(servers[0].env["MMF_TEST_POSTGRES_DSN"], "postgres://mmf:") {
		t.Errorf("got %+v", servers[0])
	}
	if err := l.close(false); err != nil {
		t.Error(err)
	}
	asked, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"run -d --rm -p 127.0.0.1:", ":5432 ", postgresImage, "rm -f container-of-"} {
		if !strings.Contains(string(asked), want) {
			t.Errorf("no %q in what the engine was asked:\n%s", want, asked)
		}
	}
}
