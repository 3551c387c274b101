package archtest_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/archtest"
)

var update = flag.Bool("update", false, "rewrite the budgets and what README.md shows")

const budgetFile = root + "/docs/budgets/README.md"

// TestBudgets counts modules and packages always. It links one program per package only when MMF_CHECK_BUDGETS is set,
// as make arch and CI do: that takes a second each, and half of a minute is too much for everybody's "go test ./...".
// The ceilings are promises of the README, so their programs are linked always.
func TestBudgets(t *testing.T) {
	t.Parallel()
	g, err := archtest.Load(t.Context(), root)
	require.NoError(t, err)
	everything := *update || os.Getenv("MMF_CHECK_BUDGETS") != ""
	var measured []archtest.Weight
	for _, p := range g.Public() {
		w := g.Count(p.ImportPath)
		if _, promised := archtest.Ceilings[w.Package]; promised || everything {
			w.Megabytes, err = archtest.Link(t.Context(), root, p.ImportPath)
			require.NoError(t, err)
		}
		measured = append(measured, w)
	}
	if *update {
		require.NoError(t, archtest.WriteRegion(budgetFile, "budgets", archtest.FormatWeights(measured)))
	}
	committed, err := readBudgets()
	require.NoError(t, err)
	for _, problem := range archtest.OverBudget(measured, committed) {
		t.Error(problem)
	}
}

func readBudgets() ([]archtest.Weight, error) {
	table, err := archtest.ReadRegion(budgetFile, "budgets")
	if err != nil {
		return nil, err
	}
	return archtest.ParseWeights(table)
}

func TestOverBudgetFindsGrowth(t *testing.T) {
	t.Parallel()
	committed := []archtest.Weight{
		{Package: "resilience", Modules: 4, Packages: 9, Megabytes: 2.6},
		{Package: "saga", Megabytes: 3},
		{Package: "gone"},
	}
	require.Equal(t, []string{
		`gone is in the table and no longer in the module; if that is meant, run "make budgets", and give the reason in the commit`,
		`new has no budget; if that is meant, run "make budgets", and give the reason in the commit`,
		`resilience links 5 modules and 2.6 MB; the promise is 4 and 3.0 MB`,
		`saga links 1 modules and 0 packages; the table says 0 and 0; if that is meant, run "make budgets", and give the reason in the commit`,
	}, archtest.OverBudget([]archtest.Weight{
		{Package: "resilience", Modules: 5, Packages: 9, Megabytes: 2.6}, {Package: "saga", Modules: 1, Megabytes: 3}, {Package: "new"},
	}, committed))
	require.Len(t, archtest.OverBudget([]archtest.Weight{{Package: "saga", Megabytes: 3.3}}, committed[1:2]), 1)
	require.Empty(t, archtest.OverBudget([]archtest.Weight{{Package: "saga", Megabytes: 3.1}}, committed[1:2]))
	// A table regenerated after a leaf has grown still breaks the promise.
	fat := []archtest.Weight{{Package: "resilience", Modules: 4, Packages: 9, Megabytes: 3.1}}
	require.Len(t, archtest.OverBudget(fat, fat), 1)
}

func TestWeightsSurviveTheTable(t *testing.T) {
	t.Parallel()
	want := []archtest.Weight{{Package: "data/kafka", Modules: 7, Packages: 31, Megabytes: 9.3}, {Package: "saga", Megabytes: 2}}
	got, err := archtest.ParseWeights(archtest.FormatWeights(want))
	require.NoError(t, err)
	require.Equal(t, want, got)
}
