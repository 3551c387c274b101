package flags_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/config/flags"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onOff is a file with one boolean flag "f" and a rule.
func onOff(targeting string) string {
	return fmt.Sprintf(`{"flags": {"f": {"state": "ENABLED", "variants": {"on": true, "off": false},
  "defaultVariant": "off", "targeting": %s}}}`, targeting)
}

func parse(t testing.TB, text string) *flags.Set {
	t.Helper()
	set, err := flags.Load(context.Background(), flags.Options{Data: []byte(text)})
	require.NoError(t, err)
	return set
}

func replace(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".tmp", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".tmp", path))
}

func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "flags.json")
	replace(t, path, text)
	return path
}
