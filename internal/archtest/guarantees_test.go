package archtest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A guarantee whose test was renamed or deleted is a claim without proof.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	require.NoError(t, err)
	claimed := regexp.MustCompile(`\bTest[A-Za-z0-9_]+`).FindAllString(string(text), -1)
	require.Greater(t, len(claimed), 50)

	declared := map[string]bool{}
	decl := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range decl.FindAllStringSubmatch(string(code), -1) {
			declared[m[1]] = true
		}
		return err
	}))
	for _, name := range claimed {
		if !declared[name] {
			t.Errorf("docs/guarantees.md names %s, and there is no such test", name)
		}
	}
}
