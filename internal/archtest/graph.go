package archtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

// Package is what the go command knows about one package.
type Package struct {
	ImportPath   string
	Dir          string
	Name         string
	Standard     bool
	Module       *struct{ Path string }
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// Graph is a module's packages and everything they link, by import path.
type Graph struct {
	Module   string
	Packages map[string]Package
}

// Load asks the go command, in the folder dir of a module, for all of its packages and their dependencies. Packages
// below an entry of except are left out of the module, as if they were not there.
func Load(ctx context.Context, dir string, except ...string) (Graph, error) {
	module, err := goCommand(ctx, dir, "list", "-m")
	if err != nil {
		return Graph{}, err
	}
	g := Graph{Module: strings.TrimSpace(string(module)), Packages: map[string]Package{}}
	out, err := goCommand(ctx, dir, "list", "-deps", "-json=ImportPath,Dir,Name,Standard,Module,Imports,TestImports,XTestImports", "./...")
	if err != nil {
		return Graph{}, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return Graph{}, fmt.Errorf("read go list's answer: %w", err)
		}
		if rel, own := g.Rel(p.ImportPath); own && slices.ContainsFunc(except, func(e string) bool { return matches(e, rel) }) {
			continue
		}
		g.Packages[p.ImportPath] = p
	}
}

// Rel is path relative to the module ("." for its root), and whether it belongs to the module at all.
func (g Graph) Rel(path string) (string, bool) {
	if path == g.Module {
		return ".", true
	}
	return strings.CutPrefix(path, g.Module+"/")
}

// Own lists the module's packages in order.
func (g Graph) Own() []Package {
	var own []Package
	for path, p := range g.Packages {
		if _, ok := g.Rel(path); ok {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b Package) int { return cmp.Compare(a.ImportPath, b.ImportPath) })
	return own
}

// Chain is a shortest way from a package to one that found accepts, both included; nil when there is none.
func (g Graph) Chain(from string, found func(path string) bool) []string {
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if found(at) {
			var chain []string
			for ; at != ""; at = cameFrom[at] {
				chain = append(chain, at)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, next := range g.Packages[at].Imports {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// standard says whether path is of the standard library: those have no dot in their first element, and "C" is cgo.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// matches says whether the package path, relative to the module, is meant by pattern: exact, "x/..." for x and all below
// it, "..." for everything, "*end" for a last element with that end.
func matches(pattern, path string) bool {
	if end, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(path, end)
	}
	if pattern == "..." {
		return true
	}
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return under(above, path)
	}
	return pattern == path
}

// under says whether path is prefix or below it; an empty prefix holds everything.
func under(prefix, path string) bool {
	return prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/")
}

// goCommand runs the go command in dir with the build's own defaults: cgo off, as in the budgets.
func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
