package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRenamedCopyBuilds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive, err := exec.Command("git", "-C", "../..", "archive", "HEAD").Output()
	if err != nil {
		t.Fatalf("git archive: %v (this test needs the repository's history)", err)
	}
	unpack := exec.Command("tar", "-x", "-C", dir)
	unpack.Stdin = bytes.NewReader(archive)
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	changed, err := rename(dir, "example.com/your/path")
	if err != nil {
		t.Fatal(err)
	}
	if changed < 5 {
		t.Errorf("only %d files were renamed", changed)
	}
	for _, build := range [][]string{
		{"build", "./data/..."},
		{"vet", "./internal/archtest"},
		{"-C", "tools", "build", "-o", os.DevNull, "./rename"},
	} {
		cmd := exec.Command("go", build...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("go %s in the renamed copy: %v\n%s", strings.Join(build, " "), err, out)
		}
	}
}

func TestRenameChangesWholePathsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module old.test/m\n")
	write("a.go", `import ("old.test/m"; "old.test/m/data"; "old.test/m-other"; "old.test/m.git") // see old.test/m.`)
	write("binary", "old.test/m\x00")
	if _, err := rename(dir, "new.test/x/y"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"go.mod": "module new.test/x/y\n",
		"a.go":   `import ("new.test/x/y"; "new.test/x/y/data"; "old.test/m-other"; "old.test/m.git") // see new.test/x/y.`,
		"binary": "old.test/m\x00",
	} {
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := rename(dir, "not a path"); err == nil {
		t.Error("an invalid path was taken")
	}
}
