package archtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/archtest"
)

func TestEveryExportedSymbolIsDocumented(t *testing.T) {
	t.Parallel()
	g, err := archtest.Load(t.Context(), root)
	require.NoError(t, err)
	public := g.Public()
	require.Greater(t, len(public), 3)
	for _, p := range public {
		missing, err := archtest.Undocumented(p.Dir)
		require.NoError(t, err)
		rel, _ := g.Rel(p.ImportPath)
		for _, m := range missing {
			t.Errorf("%s: %s", rel, m)
		}
	}
}

func TestUndocumentedFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("p.go", `package p

func Naked() {}

// Dressed has a comment.
func Dressed() {}

type Thing[T any] struct{ Field int }

func (*Thing[T]) Method() {}

type hidden struct{}

func (hidden) Method() {}

const Loose = 1

// The group is explained.
const (
	A = 1
	B = 2
)

// Config is explained, one of its settings is not.
type Config struct {
	// Known and its Neighbour are.
	Known int
	Neighbour int
	Unknown int
}
`)
	write("p_test.go", "package p\n\nfunc ExampleNaked() {}\n")
	missing, err := archtest.Undocumented(dir)
	require.NoError(t, err)
	got := strings.Join(missing, "\n")
	for _, want := range []string{
		"p.go:3: Naked", "p.go:8: type Thing", "p.go:10: Method", "p.go:16: Loose", "Config.Unknown", "no package comment", "no runnable example",
	} {
		require.Contains(t, got, want)
	}
	require.Len(t, missing, 7)

	write("doc.go", "// Package p is explained.\npackage p\n")
	write("p_test.go", "package p\n\nfunc ExampleNaked() {\n\t// Output:\n}\n")
	missing, err = archtest.Undocumented(dir)
	require.NoError(t, err)
	require.Len(t, missing, 5)
}
