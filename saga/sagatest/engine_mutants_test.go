package sagatest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// engineMutant is a bug planted in the engine itself: one piece of its source is exchanged for the build of one test run.
type engineMutant struct {
	id       string // of RELIABILITY, or what it is
	file     string // below the module's root
	old, new string
	pkg, run string // which tests must turn red
	says     string // and what they say then
}

var engineMutants = []engineMutant{
	{
		"5: compensate in forward order", "saga/decide.go",
		"for i := len(children) - 1; i >= 0; i-- {", "for i := range children {",
		"./saga/sagatest", "TestExploreFindsNothingInASoundSaga", "undo-out-of-order",
	},
	{
		"6: a new key for every attempt", "saga/attempt.go",
		"key: a.m.keyOf(a.uid, c.node, c.Undo),", `Key: a.m.keyOf(a.uid, c.node, c.Undo).of(c.Node) + time.Now().String(),`,
		"./saga/sagatest", "TestExploreFindsNothingInASoundSaga", "unkeyed-call",
	},
	{
		"7: an unknown commit is taken for a failure and written over", "saga/sagatest/memory.go",
		"if there && (!repeat ||", "if there && false && (!repeat ||",
		"./saga/sagatest", "TestExploreFindsNothingInASoundSaga", "lost-commit@",
	},
	{
		"8: a compensation that fails is taken for done", "saga/failure.go",
		"case undo && (exhausted || refused):\n\t\treturn []Record{rec, park}",
		"case undo && (exhausted || refused):\n\t\treturn []Record{{Kind: Done, Node: n.name, Undo: true}}",
		"./saga/sagatest", "TestExploreFindsNothingInASoundSaga", " + stuck@",
	},
	{
		"10: sagas that compensate are not recovered", "saga/activation.go",
		"if ev.kind == evLoaded {\n\t\t\terr := a.replay(*ev.history)",
		"if ev.kind == evLoaded {\n\t\t\terr := a.replay(*ev.history)\n\t\t\tif a.m != nil && a.m.dir == backward {\n\t\t\t\ta.m = nil\n\t\t\t}",
		"./saga/sagatest", "TestExploreFindsNothingInASoundSaga", "never-ends",
	},
	{
		"1: appends are not fenced", "saga/sagatest/memory.go",
		"if s.nodes[l.Node] == nil {\n\t\treturn saga.ErrFenced", "if s.nodes[l.Node] == nil {\n\t\treturn nil",
		"./saga/sagatest", "TestMemoryStore", "a_fenced_node_writes_nothing",
	},
	{
		"1: appends are not fenced, in SQL", "saga/internal/sqlstore/careful.go",
		"err == nil && epoch != l.Epoch {\n\t\treturn saga.ErrFenced", "err == nil && epoch != l.Epoch {\n\t\treturn nil",
		"./saga/sagasqlite", "TestStore", "a_fenced_node_writes_nothing",
	},
}

// Bugs in the engine turn the explorer, or a suite, red. Each costs a build, so that by default only the first is planted;
// MMF_TEST_MUTANTS=all plants them all.
func TestPlantedEngineBugsAreSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the package anew")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, m := range engineMutants {
		source, err := os.ReadFile(filepath.Join(root, m.file))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(source), m.old), "%s: %s has changed: plant the bug where it belongs now", m.id, m.file)
	}
	list := engineMutants[:1]
	if os.Getenv("MMF_TEST_MUTANTS") == "all" {
		list = engineMutants
	}
	found := 0
	for _, m := range list {
		t.Run(m.id, func(t *testing.T) {
			source, err := os.ReadFile(filepath.Join(root, m.file))
			require.NoError(t, err)
			planted := filepath.Join(t.TempDir(), "planted.go")
			require.NoError(t, os.WriteFile(planted, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600))
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): planted}})
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), "overlay.json")
			require.NoError(t, os.WriteFile(file, overlay, 0o600))
			cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-timeout=5m", "-overlay", file, "-run", "^"+m.run+"$", m.pkg)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			require.Error(t, err, "nothing turned red:\n%s", out)
			require.Contains(t, string(out), "--- FAIL", "it does not build, or the test did not run:\n%s", out)
			require.Contains(t, string(out), m.says)
			found++
		})
	}
	t.Logf("found %d of %d planted bugs", found, len(list))
}
