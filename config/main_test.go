package config_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// settings is what a service of middling size has.
type settings struct {
	Name string
	HTTP struct {
		Addr    string `reload:"no"`
		Timeout time.Duration
		MaxBody int64
		TLS     bool
	}
	DB struct {
		DSN  config.Secret
		Pool uint8
	}
	Limits   map[string]limit
	Tags     []string
	Routes   []route
	Ratio    float64
	skipped  int    //nolint:unused // that unexported fields are left alone is what is tested
	Function func() `config:"-"`
}

type limit struct {
	Events int
	Per    time.Duration
}

type route struct {
	Path  string
	Roles []string
}

func (l limit) Validate() error {
	if l.Events < 0 {
		return config.Invalid("events", "must be 0 or more, not %d", l.Events)
	}
	return nil
}

func defaults() settings {
	s := settings{Name: "shop", Tags: []string{"a"}, Limits: map[string]limit{"login": {Events: 5, Per: time.Minute}}}
	s.HTTP.Addr, s.HTTP.Timeout, s.HTTP.MaxBody = ":8080", 5*time.Second, 1<<20
	return s
}

func write(t testing.TB, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// replace exchanges a file as an editor or a careful program does.
func replace(t testing.TB, path, text string) {
	t.Helper()
	write(t, path+".tmp", text)
	require.NoError(t, os.Rename(path+".tmp", path))
}

// load writes texts as files one over the other and loads them; environ must not be the process's.
func load(t testing.TB, o config.Options, texts ...string) (*config.Store[settings], error) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for i, text := range texts {
		name := string(rune('a'+i)) + ".yaml"
		write(t, name, text)
		o.Files = append(o.Files, config.File{Path: name})
	}
	if o.Environ == nil {
		o.Environ = []string{}
	}
	return config.Load(t.Context(), defaults(), o)
}
