package archtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Weight is what a program carries that imports one package of the module and nothing else.
type Weight struct {
	Package string
	// Modules and Packages count third parties.
	Modules, Packages int
	// Megabytes is the size of a stripped linux/amd64 program, with one decimal. An empty program is 1.5 or so.
	Megabytes float64
}

// Ceiling is a promise about a leaf that no regenerated table may soften.
type Ceiling struct {
	Modules   int
	Megabytes float64
}

// Ceilings names the promises, by package relative to the module.
var Ceilings = map[string]Ceiling{
	"data":       {Modules: 0, Megabytes: 3},
	"security":   {Modules: 0, Megabytes: 6},
	"resilience": {Modules: 4, Megabytes: 3},
}

// slack is by how much a program may grow unnoticed: another patch release of Go moves sizes by a little.
const slack = 0.05

// Count says how many third-party modules and packages a package links.
func (g Graph) Count(path string) Weight {
	rel, _ := g.Rel(path)
	modules, packages, seen := map[string]bool{}, 0, map[string]bool{path: true}
	for queue := []string{path}; len(queue) > 0; queue = queue[1:] {
		p := g.Packages[queue[0]]
		if _, own := g.Rel(p.ImportPath); !own && !p.Standard {
			packages++
			if p.Module != nil {
				modules[p.Module.Path] = true
			}
		}
		for _, next := range p.Imports {
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return Weight{Package: rel, Modules: len(modules), Packages: packages}
}

// Link builds a program that imports the package alone and returns its size in megabytes. The go command
// runs in root, so that the module's own go.mod decides the versions.
func Link(ctx context.Context, root, path string) (_ float64, err error) {
	dir, err := os.MkdirTemp("", "mmf-weight-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	text := fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", path)
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		return 0, err
	}
	if _, err := goCommand(ctx, root, "build", "-trimpath", "-ldflags=-s -w", "-o", program, source); err != nil {
		return 0, err
	}
	info, err := os.Stat(program)
	if err != nil {
		return 0, err
	}
	return math.Round(float64(info.Size())/1e5) / 10, nil
}

// OverBudget compares measured weights with committed ones. Sizes that were not measured are zero and not compared.
func OverBudget(measured, committed []Weight) []string {
	const advice = `; if that is meant, run "make budgets", and give the reason in the commit`
	var problems []string
	budget := map[string]Weight{}
	for _, c := range committed {
		budget[c.Package] = c
	}
	for _, m := range measured {
		b, known := budget[m.Package]
		delete(budget, m.Package)
		switch ceiling, promised := Ceilings[m.Package]; {
		case !known:
			problems = append(problems, m.Package+" has no budget"+advice)
		case promised && (m.Modules > ceiling.Modules || m.Megabytes > ceiling.Megabytes):
			problems = append(problems, fmt.Sprintf("%s links %d modules and %.1f MB; the promise is %d and %.1f MB",
				m.Package, m.Modules, m.Megabytes, ceiling.Modules, ceiling.Megabytes))
		case m.Modules != b.Modules || m.Packages != b.Packages:
			problems = append(problems, fmt.Sprintf("%s links %d modules and %d packages; the table says %d and %d%s",
				m.Package, m.Modules, m.Packages, b.Modules, b.Packages, advice))
		case m.Megabytes > 0 && math.Abs(m.Megabytes-b.Megabytes) > max(0.1, b.Megabytes*slack):
			problems = append(problems, fmt.Sprintf("a program with %s has %.1f MB; the table says %.1f%s",
				m.Package, m.Megabytes, b.Megabytes, advice))
		}
	}
	for gone := range budget {
		problems = append(problems, gone+" is in the table and no longer in the module"+advice)
	}
	slices.Sort(problems)
	return problems
}

// FormatWeights renders the table that is committed and shown in README.md.
func FormatWeights(weights []Weight) string {
	var b strings.Builder
	b.WriteString("| package | modules | packages | MB |\n|---|---:|---:|---:|\n")
	for _, w := range weights {
		fmt.Fprintf(&b, "| `%s` | %d | %d | %.1f |\n", w.Package, w.Modules, w.Packages, w.Megabytes)
	}
	return b.String()
}

// ParseWeights reads a table that [FormatWeights] wrote.
func ParseWeights(table string) ([]Weight, error) {
	var weights []Weight
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.Contains(cells[1], "`") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		modules, err1 := strconv.Atoi(cells[2])
		packages, err2 := strconv.Atoi(cells[3])
		size, err3 := strconv.ParseFloat(cells[4], 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("budget of %s: %w", cells[1], err)
		}
		weights = append(weights, Weight{Package: cells[1], Modules: modules, Packages: packages, Megabytes: size})
	}
	return weights, nil
}
