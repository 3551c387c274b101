package archtest

import (
	"fmt"
	"slices"
	"strings"
)

// Violations applies the import table and the confinements to a graph. Each answer names the rule and the chain of
// imports that breaks it; none is a kept architecture.
func Violations(g Graph, table []Row, confined []Confinement) []string {
	var found []string
	for _, p := range g.Own() {
		rel, _ := g.Rel(p.ImportPath)
		row, ok := rowFor(table, rel)
		if !ok {
			found = append(found, fmt.Sprintf("%s has no row in the import table (internal/archtest/table.go): say on which floor it lives", rel))
			continue
		}
		for _, path := range p.Imports {
			if !g.may(row, rel, path) {
				found = append(found, fmt.Sprintf("%s → %s: not in the row of %q of the import table", rel, path, row.Package))
			}
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			if !g.may(row, rel, path) && !g.testMay(row, path) {
				found = append(found, fmt.Sprintf("%s (its tests) → %s: neither in the row of %q nor in its list for tests", rel, path, row.Package))
			}
		}
		for _, c := range confined {
			if chain := g.escape(c, rel, p.ImportPath); chain != nil {
				found = append(found, fmt.Sprintf("%s links %s: %s\n\t%s", rel, c.Dependency, c.Why, strings.Join(chain, "\n\t→ ")))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// rowFor finds the row of a package: its own, else the one with the longest pattern that covers it. What is internal to
// a package is a part of it and has its row.
func rowFor(table []Row, rel string) (Row, bool) {
	best, found := Row{}, false
	owner, _, _ := strings.Cut(rel, "/internal/")
	for _, row := range table {
		if row.Package == rel {
			return row, true
		}
		if matches(row.Package, owner) && (!found || len(row.Package) > len(best.Package)) {
			best, found = row, true
		}
	}
	return best, found
}

// may says whether the row lets the package rel import path.
func (g Graph) may(row Row, rel, path string) bool {
	if own, ok := g.Rel(path); ok {
		// The compiler knows who may import internal parts of a package.
		return own == rel || matches(internals, own) || strings.Contains(own, "/internal/") ||
			slices.ContainsFunc(row.May, func(m string) bool { return matches(m, own) })
	}
	return standard(path) || slices.ContainsFunc(row.Third, func(t string) bool { return under(t, path) })
}

// testMay says whether the row lets the tests of a package import path in addition. No list for tests names fx, so it
// stays out of the tests of cores too.
func (g Graph) testMay(row Row, path string) bool {
	allowed := slices.Concat(row.Test, testLibraries)
	if own, ok := g.Rel(path); ok {
		return strings.HasSuffix(own, "test") || slices.Contains(allowed, own)
	}
	return slices.ContainsFunc(allowed, func(a string) bool { return under(a, path) })
}

// escape is the chain by which a package reaches a dependency that is confined to others.
func (g Graph) escape(c Confinement, rel, path string) []string {
	free := slices.Concat(c.To, []string{"examples/..."})
	if slices.ContainsFunc(free, func(pattern string) bool { return matches(pattern, rel) }) {
		return nil
	}
	return g.Chain(path, func(p string) bool { return under(c.Dependency, p) })
}
