package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config"
)

// FuzzLoad: whatever a file holds, loading gives a value or an *Error, the same each time.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"name: x", "http: {addr: a, timeout: 5s, max_body: 1, tls: true}", "db:\n  dsn: 'x'\n  pool: 255", "limits: {a: {events: 1, per: 1s}}",
		"routes:\n- path: /\n  roles: [a, b]", "name: &a x\ntags: [*a, *a]", "a: &a [*a]",
		"<<: {}", "? x\n: y", "- 1", "", "---\n---", "name: !!int x",
		"\ufeffname: x", "ratio: 1e3", "name: |\n  a\n  b", "{{{{", "name: \x00", "%YAML 1.1\n---\nname: x", bomb(),
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "f.yaml")
	f.Fuzz(func(t *testing.T, data []byte) {
		require.NoError(t, os.WriteFile(path, data, 0o600))
		o := config.Options{Files: []config.File{{Path: path}}, Environ: []string{}}
		store, err := config.Load(t.Context(), defaults(), o)
		again, errAgain := config.Load(t.Context(), defaults(), o)
		if err != nil {
			var problems *config.Error
			require.True(t, errors.As(err, &problems) && len(problems.Problems) > 0)
			require.EqualError(t, errAgain, err.Error())
			return
		}
		require.NoError(t, errAgain)
		require.Equal(t, store.Get(), again.Get())
		require.Equal(t, len(store.Origins()), len(again.Origins()))
	})
}
