// Command consume does what a stranger does: it packs the last commit as a module, serves it from a folder, and builds an
// empty module that imports every public package. So a package that compiles only inside the repository (for a replace
// directive, a missing file, a nested go.mod, a file that is not committed) is found before a release.
//
// It needs no network when the module's dependencies are in the module cache.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "consume:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	root, err := output(ctx, ".", nil, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "mmf-consume-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	v, err := pack(ctx, root, filepath.Join(temp, "proxy"))
	if err != nil {
		return err
	}
	cache, err := output(ctx, ".", nil, "go", "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, forget(cache, v)) }()

	// Dependencies come from what the module cache has downloaded, and only then from where they usually come from. The
	// checksum database cannot know a version that was packed a moment ago.
	usual, err := output(ctx, ".", nil, "go", "env", "GOPROXY")
	if err != nil {
		return err
	}
	env := []string{
		"GOPROXY=file://" + filepath.Join(temp, "proxy") + ",file://" + filepath.Join(cache, "cache", "download") + "," + usual,
		"GONOSUMDB=" + v.Path, "GOFLAGS=-mod=mod", "GOWORK=off",
	}
	stranger := filepath.Join(temp, "stranger")
	if err := os.Mkdir(stranger, 0o755); err != nil {
		return err
	}
	for _, step := range [][]string{{"mod", "init", "example.com/stranger"}, {"get", v.Path + "@" + v.Version}} {
		if _, err := output(ctx, stranger, env, "go", step...); err != nil {
			return err
		}
	}
	packages, err := public(ctx, stranger, env, v.Path)
	if err != nil {
		return err
	}
	var source strings.Builder
	source.WriteString("package main\n\nimport (\n")
	for _, p := range packages {
		fmt.Fprintf(&source, "\t_ %q\n", p)
	}
	source.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(stranger, "main.go"), []byte(source.String()), 0o600); err != nil {
		return err
	}
	if _, err := output(ctx, stranger, env, "go", "build", "-o", filepath.Join(temp, "program"), "."); err != nil {
		return err
	}
	fmt.Printf("ok  \ta stranger's module builds with %s@%s and its %d public packages\n", v.Path, v.Version, len(packages))
	return nil
}

// pack writes the last commit as a module into a folder that the go command can use as a proxy.
func pack(ctx context.Context, root, proxy string) (module.Version, error) {
	gomod, err := output(ctx, root, nil, "git", "show", "HEAD:go.mod")
	if err != nil {
		return module.Version{}, err
	}
	stamp, err := output(ctx, root, nil, "git", "show", "-s", "--format=%ct %H", "HEAD")
	if err != nil {
		return module.Version{}, err
	}
	var seconds int64
	var hash string
	if _, err := fmt.Sscan(stamp, &seconds, &hash); err != nil {
		return module.Version{}, err
	}
	at := time.Unix(seconds, 0).UTC()
	// A pseudo-version, so that each commit has its own and no cache can answer with another.
	v := module.Version{Path: modfile.ModulePath([]byte(gomod)), Version: module.PseudoVersion("", "", at, hash[:12])}
	escaped, err := module.EscapePath(v.Path)
	if err != nil {
		return v, err
	}
	dir := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return v, err
	}
	var packed bytes.Buffer
	if err := zip.CreateFromVCS(&packed, v, root, hash, ""); err != nil {
		return v, fmt.Errorf("pack %s as a module: %w", hash[:12], err)
	}
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, v.Version, at.Format(time.RFC3339))
	return v, errors.Join(
		os.WriteFile(filepath.Join(dir, v.Version+".zip"), packed.Bytes(), 0o600),
		os.WriteFile(filepath.Join(dir, v.Version+".mod"), []byte(gomod+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, v.Version+".info"), []byte(info), 0o600),
		os.WriteFile(filepath.Join(dir, "list"), []byte(v.Version+"\n"), 0o600),
	)
}

// public lists the packages of the module that a stranger can import.
func public(ctx context.Context, dir string, env []string, path string) ([]string, error) {
	list, err := output(ctx, dir, env, "go", "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{end}}`, path+"/...")
	if err != nil {
		return nil, err
	}
	var packages []string
	for p := range strings.FieldsSeq(list) {
		if rel := strings.TrimPrefix(p, path) + "/"; !strings.Contains(rel, "/internal/") && !strings.HasPrefix(rel, "/examples/") {
			packages = append(packages, p)
		}
	}
	if len(packages) == 0 {
		return nil, errors.New("the module has no public packages")
	}
	return packages, nil
}

// forget takes the packed version out of the module cache, where nobody would use it again.
func forget(cache string, v module.Version) error {
	path, err := module.EscapePath(v.Path)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(cache, filepath.FromSlash(path)+"@"+v.Version)
	// The go command makes its folders read-only.
	_ = filepath.WalkDir(unpacked, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(p, 0o755)
		}
		return err
	})
	downloads, err := filepath.Glob(filepath.Join(cache, "cache", "download", filepath.FromSlash(path), "@v", v.Version+".*"))
	errs := []error{err, os.RemoveAll(unpacked)}
	for _, f := range downloads {
		errs = append(errs, os.Remove(f))
	}
	return errors.Join(errs...)
}

func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}
