// Command rename gives the module another path: it rewrites the old one in every text file of the tree, the tools module
// and its own included.
//
//	make rename MODULE=example.com/your/path
//
// Afterwards "go build ./..." works without any further step. Run it on a clean tree, so that git can take it back.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rename example.com/your/path")
		os.Exit(2)
	}
	changed, err := rename(".", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
	fmt.Printf("%s in %d files; now: go build ./... && make test\n", os.Args[1], changed)
}

// rename rewrites the module in dir and returns how many files changed.
func rename(dir, to string) (int, error) {
	if err := module.CheckImportPath(to); err != nil {
		return 0, err
	}
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return 0, fmt.Errorf("run it at the root of the repository: %w", err)
	}
	from := modfile.ModulePath(gomod)
	if from == "" {
		return 0, errors.New("go.mod names no module")
	}
	// The path must end there: "…/mmf" is not "…/mmf-contrib". A dot may end a sentence, so only what goes on after it counts.
	old := regexp.MustCompile(regexp.QuoteMeta(from) + `($|[^A-Za-z0-9_.~-]|\.(?:$|[^A-Za-z0-9]))`)
	changed := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 || !bytes.Contains(text, []byte(from)) {
			return nil
		}
		renamed := old.ReplaceAllFunc(text, func(match []byte) []byte { return append([]byte(to), match[len(from):]...) })
		if bytes.Equal(renamed, text) {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		changed++
		return os.WriteFile(path, renamed, info.Mode().Perm())
	})
	return changed, err
}
