package archtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/archtest"
)

const readme = root + "/README.md"

func TestREADMEShowsCompiledCode(t *testing.T) {
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	synced, problems := archtest.SyncCode(string(text), root)
	require.Empty(t, problems)
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(synced), 0o600))
		return
	}
	require.Equal(t, synced, string(text), `README.md shows code that differs from what is compiled; run "make readme"`)
}

func TestREADMEShowsTheBudgets(t *testing.T) {
	weights, err := readBudgets()
	require.NoError(t, err)
	want := archtest.FormatWeights(weights)
	if *update {
		require.NoError(t, archtest.WriteRegion(readme, "budgets", want))
	}
	got, err := archtest.ReadRegion(readme, "budgets")
	require.NoError(t, err)
	require.Equal(t, want, got, `README.md shows other budgets than docs/budgets; run "make budgets"`)
}

func TestSyncCodeFindsStaleAndUnnamedBlocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code := "package p\n\nfunc f() {\n\t// readme:begin use\n\tif x {\n\t\ty()\n\t}\n\n\tz()\n\t// readme:end use\n}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "p.go"), []byte(code), 0o600))

	const shown = "<!-- code: p.go#use -->\n```go\nif x {\n\ty()\n}\n\nz()\n```\n"
	synced, problems := archtest.SyncCode(shown, dir)
	require.Empty(t, problems)
	require.Equal(t, shown, synced)

	synced, problems = archtest.SyncCode("<!-- code: p.go#use -->\n```go\nold()\n```\n", dir)
	require.Empty(t, problems)
	require.Equal(t, shown, synced)

	_, problems = archtest.SyncCode("```go\nfree()\n```\n\n"+
		"<!-- code: p.go#none -->\n```go\na()\n```\n<!-- code: q.go#use -->\n```go\na()\n```\n", dir)
	require.Len(t, problems, 3)
}
