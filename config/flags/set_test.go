package flags_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config/flags"
)

const mixed = `{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
    "express": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
    "banner": {"state": "ENABLED", "variants": {"a": "hello", "b": "hi"}, "defaultVariant": "b",
      "targeting": {"if": [{"==": [{"var": "role"}, "admin"]}, "a"]}},
    "limit": {"state": "ENABLED", "variants": {"low": 10, "odd": 1.5}, "defaultVariant": "low"},
    "gone": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
    "open": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": null},
    "object": {"state": "ENABLED", "variants": {"x": {"a": 1}}, "defaultVariant": "x"},
    "broken": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on", "targeting": {"var": "choice"}}
  }
}`

// TestEvaluation (F-FLG-1): a value always, and the reason.
func TestEvaluation(t *testing.T) {
	t.Parallel()
	set := parse(t, mixed)
	admin := flags.WithSubject(t.Context(), "u1", map[string]any{"role": "admin", "choice": 5})
	odd := flags.WithSubject(t.Context(), "u1", map[string]any{"choice": "odd"})

	type result struct {
		value   any
		variant string
		reason  flags.Reason
		code    flags.ErrorCode
	}
	boolean := func(ctx context.Context, key string, fallback bool) result {
		d := flags.Bool(set, key, fallback).Evaluate(ctx)
		require.Equal(t, key, d.Flag)
		require.EqualValues(t, 1, d.Generation)
		return result{d.Value, d.Variant, d.Reason, d.ErrorCode}
	}
	text := func(ctx context.Context, key string) result {
		d := flags.String(set, key, "?").Evaluate(ctx)
		return result{d.Value, d.Variant, d.Reason, d.ErrorCode}
	}
	integer := func(key string) result {
		d := flags.Int(set, key, 3).Evaluate(t.Context())
		return result{d.Value, d.Variant, d.Reason, d.ErrorCode}
	}
	require.Equal(t, result{true, "on", flags.ReasonStatic, ""}, boolean(t.Context(), "express", false))
	require.Equal(t, result{"hi", "b", flags.ReasonDefault, ""}, text(t.Context(), "banner"))
	require.Equal(t, result{"hello", "a", flags.ReasonTargetingMatch, ""}, text(admin, "banner"))
	require.Equal(t, result{10, "low", flags.ReasonStatic, ""}, integer("limit"))
	require.InDelta(t, 10.0, flags.Float(set, "limit", 1).Get(t.Context()), 0)
	require.Equal(t, result{false, "", flags.ReasonDisabled, ""}, boolean(t.Context(), "gone", false))
	require.Equal(t, result{true, "", flags.ReasonDefault, ""}, boolean(t.Context(), "open", true))
	require.Equal(t, result{true, "", flags.ReasonError, flags.ErrorFlagNotFound}, boolean(t.Context(), "unheard", true))
	require.Equal(t, result{false, "", flags.ReasonError, flags.ErrorTypeMismatch}, boolean(t.Context(), "banner", false))
	require.Equal(t, result{"?", "", flags.ReasonError, flags.ErrorTypeMismatch}, text(t.Context(), "object"))
	require.Equal(t, result{false, "", flags.ReasonError, flags.ErrorGeneral}, boolean(admin, "broken", false))
	require.Equal(t, result{false, "", flags.ReasonError, flags.ErrorGeneral}, boolean(odd, "broken", false))
	require.Equal(t, result{true, "on", flags.ReasonDefault, ""}, boolean(t.Context(), "broken", false))
	require.NoError(t, set.Override("limit", "odd", time.Now().Add(time.Hour)))
	require.Equal(t, result{3, "", flags.ReasonError, flags.ErrorTypeMismatch}, integer("limit"))

	var zero flags.Handle[bool]
	require.False(t, zero.Get(t.Context()))
	require.True(t, flags.Bool(nil, "x", true).Get(t.Context()))
}

func TestOverridesEndByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []flags.OverrideEvent
		var evaluated []flags.Evaluation
		set, err := flags.Load(t.Context(), flags.Options{Data: []byte(mixed), Hooks: flags.Hooks{
			Override:   func(e flags.OverrideEvent) { told = append(told, e) },
			Evaluation: func(_ context.Context, e flags.Evaluation) { evaluated = append(evaluated, e) },
		}})
		require.NoError(t, err)
		express, gone := flags.Bool(set, "express", true), flags.Bool(set, "gone", false)
		until := time.Now().Add(time.Minute)
		require.ErrorIs(t, set.Override("unheard", "on", until), flags.ErrUnknown)
		require.ErrorIs(t, set.Override("express", "maybe", until), flags.ErrUnknown)
		require.ErrorContains(t, set.Override("express", "off", time.Now()), "is not ahead")

		require.NoError(t, set.Override("express", "off", until))
		require.NoError(t, set.Override("gone", "on", until.Add(time.Minute)))
		require.False(t, express.Get(flags.WithSubject(t.Context(), "u7", nil)))
		require.True(t, gone.Get(t.Context()), "also a disabled flag")
		require.Equal(t, flags.ReasonOverride, express.Evaluate(t.Context()).Reason)
		require.Equal(t, flags.Evaluation{
			Flag: "express", Variant: "off", Reason: flags.ReasonOverride, Subject: "u7", Generation: 1,
		}, evaluated[0])
		time.Sleep(time.Minute)
		require.True(t, express.Get(t.Context()))
		for _, f := range set.Flags() {
			require.Equal(t, f.Key == "gone", f.Override != "", f.Key)
		}
		set.ClearOverride("gone")
		set.ClearOverride("gone")
		require.False(t, gone.Get(t.Context()))
		require.Len(t, told, 3)
		require.Equal(t, flags.OverrideEvent{Flag: "gone"}, told[2])
	})
}

func TestLaterFilesReplaceFlags(t *testing.T) {
	t.Parallel()
	set, err := flags.Load(t.Context(), flags.Options{Data: []byte(onOff("true")), Files: []string{file(t, mixed), file(t, onOff("null"))}})
	require.NoError(t, err)
	require.False(t, flags.Bool(set, "f", true).Get(t.Context()))
	require.True(t, flags.Bool(set, "express", false).Get(t.Context()))
	all := set.Flags()
	require.Len(t, all, 8)
	require.Equal(t, flags.Flag{
		Key: "banner", Enabled: true, Type: "string", Variants: []string{"a", "b"}, DefaultVariant: "b", Targeting: true,
	}, all[0])
}

// TestReload (S25, F-FLG-1): an edit takes effect by itself, whole; a bad one leaves the last good flags.
func TestReload(t *testing.T) {
	t.Parallel()
	path := file(t, onOff("null"))
	reloads := make(chan flags.Reload, 10)
	set, err := flags.Load(t.Context(), flags.Options{
		Files: []string{path}, Debounce: time.Millisecond, Poll: time.Hour,
		Hooks: flags.Hooks{Reload: func(r flags.Reload) { reloads <- r }},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	f := flags.Bool(set, "f", false)

	replace(t, path, onOff(`{"if": [true, "on"]}`))
	r := <-reloads
	require.NoError(t, r.Err)
	require.Equal(t, []string{"f"}, r.Changed)
	require.EqualValues(t, 2, r.Generation)
	require.True(t, f.Get(t.Context()))
	require.ErrorContains(t, set.Run(ctx), "running already")

	replace(t, path, onOff(`{"iff": [true, "on"]}`))
	r = <-reloads
	require.ErrorContains(t, r.Err, `flags.json:2: flags.f.targeting: unknown operator "iff"`)
	require.False(t, r.Applied)
	require.EqualValues(t, 2, set.Generation())
	require.True(t, f.Get(t.Context()))

	replace(t, path, mixed)
	r = <-reloads
	require.Equal(t, []string{"banner", "broken", "express", "f", "gone", "limit", "object", "open"}, r.Changed)
	cancel()
	require.NoError(t, <-done)
	replace(t, path, "")
	require.ErrorContains(t, set.Reload(t.Context()), "the file is empty")
}

// TestReadersDuringReloads: two flags that change together are never seen mixed within one generation.
func TestReadersDuringReloads(t *testing.T) {
	t.Parallel()
	both := func(v string) string {
		flag := `{"state": "ENABLED", "variants": {"x": "x", "y": "y"}, "defaultVariant": "` + v + `"}`
		return `{"flags": {"a": ` + flag + `, "b": ` + flag + `}}`
	}
	path := file(t, both("x"))
	set, err := flags.Load(t.Context(), flags.Options{Files: []string{path}})
	require.NoError(t, err)
	a, b := flags.String(set, "a", "?"), flags.String(set, "b", "?")
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				x, y := a.Evaluate(context.Background()), b.Evaluate(context.Background())
				if x.Generation > y.Generation || (x.Generation == y.Generation && x.Value != y.Value) {
					t.Errorf("mixed: %+v %+v", x, y)
					return
				}
			}
		})
	}
	for i := range 200 {
		replace(t, path, both([]string{"x", "y"}[i%2]))
		require.NoError(t, set.Reload(t.Context()))
	}
	close(stop)
	readers.Wait()
	require.EqualValues(t, 201, set.Generation())
}

func TestLoadProblems(t *testing.T) {
	t.Parallel()
	_, err := flags.Load(t.Context(), flags.Options{Files: []string{filepath.Join(t.TempDir(), "no.json")}})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = flags.Load(t.Context(), flags.Options{MaxFileBytes: -1, Debounce: -1, Poll: -1})
	require.ErrorContains(t, err, "Poll")
	_, err = flags.Load(t.Context(), flags.Options{Files: []string{file(t, mixed)}, MaxFileBytes: 10})
	require.ErrorContains(t, err, "is larger than 10 bytes")
	set, err := flags.Load(t.Context(), flags.Options{})
	require.NoError(t, err)
	require.Empty(t, set.Flags())
}

func BenchmarkTargeting(b *testing.B) {
	set := parse(b, mixed)
	banner := flags.String(set, "banner", "?")
	ctx := flags.WithSubject(b.Context(), "u1", map[string]any{"role": "admin"})
	b.ReportAllocs()
	for b.Loop() {
		_ = banner.Get(ctx)
	}
}
