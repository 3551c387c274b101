package archtest_test

import (
	"slices"
	"strings"

	"github.com/marty-framework/mmf/internal/archtest"
)

// plant adds an import to a package of a made-up repository.
func plant(packages map[string]archtest.Package, from, to string) {
	p := packages[from]
	p.Imports = append(slices.Clone(p.Imports), to)
	packages[from] = p
}

func containsPart(lines []string, part string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, part) })
}
