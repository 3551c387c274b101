package configfx_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/config"
	"github.com/marty-framework/mmf/config/configfx"
	"github.com/marty-framework/mmf/config/flags"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type settings struct{ Greeting string }

func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".tmp", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".tmp", path))
}

func TestGraphIsComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, fx.ValidateApp(
		configfx.Module(settings{}, config.Options{}), configfx.Flags, fx.Supply(flags.Options{}),
		fx.Invoke(func(*config.Store[settings], *flags.Set) {}),
	))
}

func TestStartUseStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	yaml, json := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "flags.json")
	flag := `{"flags": {"f": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "%s"}}}`
	replace(t, yaml, "greeting: hello")
	replace(t, json, fmt.Sprintf(flag, "off"))
	reloads, flagReloads := make(chan config.Reload, 1), make(chan flags.Reload, 1)
	var store *config.Store[settings]
	var set *flags.Set
	app := fxtest.New(t,
		configfx.Module(settings{}, config.Options{
			Files: []config.File{{Path: yaml}}, Environ: []string{}, Debounce: time.Millisecond,
			Hooks: config.Hooks{Reload: func(r config.Reload) { reloads <- r }},
		}),
		configfx.Flags,
		fx.Supply(flags.Options{
			Files: []string{json}, Debounce: time.Millisecond, Hooks: flags.Hooks{Reload: func(r flags.Reload) { flagReloads <- r }},
		}),
		fx.Populate(&store, &set),
	)
	app.RequireStart()
	require.Equal(t, "hello", store.Get().Greeting)
	replace(t, yaml, "greeting: servus")
	require.NoError(t, (<-reloads).Err)
	require.Equal(t, "servus", store.Get().Greeting)
	replace(t, json, fmt.Sprintf(flag, "on"))
	require.NoError(t, (<-flagReloads).Err)
	require.True(t, flags.Bool(set, "f", false).Get(context.Background()))
	app.RequireStop()
}

func TestInvalidSourcesFailTheStart(t *testing.T) {
	t.Parallel()
	app := fx.New(fx.NopLogger, configfx.Module(settings{}, config.Options{Overrides: []string{"greting=x"}}),
		fx.Invoke(func(*config.Store[settings]) {}))
	require.ErrorContains(t, app.Err(), `did you mean "greeting"?`)
	app = fx.New(fx.NopLogger, configfx.Flags, fx.Supply(flags.Options{Data: []byte("[]")}), fx.Invoke(func(*flags.Set) {}))
	require.ErrorContains(t, app.Err(), "must be an object with flags")
}

func Example() {
	app := fx.New(fx.NopLogger,
		configfx.Module(settings{Greeting: "hello"}, config.Options{Overrides: []string{"greeting=servus"}}),
		fx.Invoke(func(s *config.Store[settings]) { fmt.Println(s.Get().Greeting) }),
	)
	fmt.Println(app.Err())
	// Output:
	// servus
	// <nil>
}
