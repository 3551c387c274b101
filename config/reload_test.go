package config_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/config"
)

// pair holds two keys that every file of these tests changes together.
type pair struct {
	A, B   int
	Text   string
	Pinned struct{ Addr string } `reload:"no"`
	Secret config.Secret
}

func (p pair) Validate() error {
	if p.A < 0 {
		return config.Invalid("a", "must not be negative")
	}
	return nil
}

func pairText(n int) string { return fmt.Sprintf("a: %d\nb: %d\n", n, n) }

// live is a store whose Run runs, with its reloads in a channel.
type live struct {
	*config.Store[pair]
	reloads chan config.Reload
}

func start(t testing.TB, o config.Options, files ...string) *live {
	t.Helper()
	l := &live{reloads: make(chan config.Reload, 1000)}
	for _, f := range files {
		o.Files = append(o.Files, config.File{Path: f})
	}
	o.Environ = []string{}
	if o.Debounce == 0 {
		o.Debounce = 5 * time.Millisecond
	}
	if o.Poll == 0 {
		o.Poll = time.Hour // what these tests see comes from events, unless they say otherwise
	}
	o.Hooks.Reload = func(r config.Reload) { l.reloads <- r }
	store, err := config.Load(t.Context(), pair{}, o)
	require.NoError(t, err)
	l.Store = store
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return l
}

// next waits for a reload; the time limit only ends a test that has failed.
func (l *live) next(t testing.TB) config.Reload {
	t.Helper()
	select {
	case r := <-l.reloads:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no reload")
		return config.Reload{}
	}
}

func (l *live) until(t testing.TB, a int) config.Reload {
	t.Helper()
	for {
		if r := l.next(t); r.Outcome == config.ReloadApplied && l.Get().A == a {
			return r
		}
	}
}

// configMap is the directory that Kubernetes mounts: config.yaml → ..data/config.yaml, ..data → ..ts1.
type configMap struct {
	dir   string
	stamp int
}

func (m *configMap) publish(t testing.TB, text string) {
	t.Helper()
	m.stamp++
	old, err := os.Readlink(filepath.Join(m.dir, "..data"))
	first := err != nil
	stamp := fmt.Sprintf("..ts%d", m.stamp)
	write(t, filepath.Join(m.dir, stamp, "config.yaml"), text)
	require.NoError(t, os.Symlink(stamp, filepath.Join(m.dir, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
	if first {
		require.NoError(t, os.Symlink(filepath.Join("..data", "config.yaml"), filepath.Join(m.dir, "config.yaml")))
		return
	}
	require.NoError(t, os.RemoveAll(filepath.Join(m.dir, old)))
}

// TestConfigMapSwaps (F-CFG-2): each of 50 swaps in a row is picked up, by events alone.
func TestConfigMapSwaps(t *testing.T) {
	t.Parallel()
	m := &configMap{dir: t.TempDir()}
	m.publish(t, pairText(0))
	l := start(t, config.Options{}, filepath.Join(m.dir, "config.yaml"))
	for n := 1; n <= 50; n++ {
		m.publish(t, pairText(n))
		l.until(t, n)
		require.Equal(t, n, l.Get().B)
	}
}

// TestWaysToChangeAFile (F-CFG-1): editors, careful programs and careless ones.
func TestWaysToChangeAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(0))
	l := start(t, config.Options{}, path)

	replace(t, path, pairText(1))
	l.until(t, 1)
	write(t, path, pairText(2)) // truncate and write in place
	l.until(t, 2)
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, l.next(t).Err, "does not exist")
	require.Equal(t, 2, l.Get().A, "the last good settings stay")
	write(t, path, pairText(3))
	l.until(t, 3)
	require.NoError(t, os.Remove(path))
	require.Error(t, l.next(t).Err)
	require.NoError(t, os.Mkdir(path, 0o700))
	require.ErrorContains(t, l.next(t).Err, "is not a regular file")
	require.NoError(t, os.Remove(path))
	replace(t, path, pairText(4))
	l.until(t, 4)
}

// TestRefusedReloadsKeepTheLastGood (F-CFG-1): each defect is reported once and recovery needs no restart.
func TestRefusedReloadsKeepTheLastGood(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(0))
	l := start(t, config.Options{}, path)
	for n, bad := range []string{
		"", "a: [", "a: 1\nb: x", "a: -1", "a: 1\na: 2", "c: 1", "\xff", strings.Repeat("#", 50<<20), bomb(), "\ufeffa: 1\r\nx: 1",
	} {
		before := l.Current()
		replace(t, path, bad)
		r := l.next(t)
		require.Equal(t, config.ReloadRefused, r.Outcome, "%q", bad[:min(20, len(bad))])
		var problems *config.Error
		require.ErrorAs(t, r.Err, &problems)
		require.Equal(t, before, l.Current())
		replace(t, path, pairText(n+1))
		r = l.next(t)
		require.NoError(t, r.Err)
		require.Equal(t, before.Generation+1, r.Generation)
		require.Equal(t, n+1, l.Get().A)
	}
	require.Len(t, l.Reloads(), 20)
	require.Empty(t, l.reloads, "each defect is told once")
}

// TestPollingFindsWhatEventsDoNot: a directory behind a symlink is exchanged where no watch looks.
func TestPollingFindsWhatEventsDoNot(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "v1", "c.yaml"), pairText(1))
	write(t, filepath.Join(root, "v2", "c.yaml"), pairText(2))
	current := filepath.Join(root, "current")
	require.NoError(t, os.Symlink("v1", current))
	l := start(t, config.Options{Poll: 20 * time.Millisecond}, filepath.Join(current, "c.yaml"))
	require.NoError(t, os.Symlink("v2", current+".tmp"))
	require.NoError(t, os.Rename(current+".tmp", current))
	l.until(t, 2)
}

// TestWatchWithoutDirectory (F-CFG-3): what cannot be watched is polled, and that is told once.
func TestWatchWithoutDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "later", "c.yaml")
	var degraded atomic.Int64
	reloads := make(chan config.Reload, 10)
	store, err := config.Load(t.Context(), pair{}, config.Options{
		Files: []config.File{{Path: path, Optional: true}}, Environ: []string{}, Debounce: time.Millisecond, Poll: 10 * time.Millisecond,
		Hooks: config.Hooks{
			Reload:        func(r config.Reload) { reloads <- r },
			WatchDegraded: func(error) { degraded.Add(1) },
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- store.Run(ctx) }()
	write(t, path, pairText(1))
	require.NoError(t, (<-reloads).Err)
	require.Equal(t, 1, store.Get().A)
	cancel()
	require.NoError(t, <-done)
	require.LessOrEqual(t, degraded.Load(), int64(1))
}

func TestPinnedKeysWaitForARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, "a: 1\npinned: {addr: one}\nsecret: s1\n")
	l := start(t, config.Options{}, path)
	replace(t, path, "a: 2\nsecret: s2\npinned: {addr: two}\n")
	r := l.next(t)
	require.NoError(t, r.Err)
	require.Equal(t, []string{"pinned.addr"}, r.Restart)
	require.Equal(t, 2, l.Get().A)
	require.Equal(t, "one", l.Get().Pinned.Addr)
	require.Equal(t, "s2", l.Get().Secret.Reveal())
	require.Equal(t, []config.Change{
		{Key: "a", Old: "1", New: "2", Origin: config.Origin{Kind: config.OriginFile, Name: path, Line: 1}},
		{Key: "secret", Old: "[redacted]", New: "[redacted]", Origin: config.Origin{Kind: config.OriginFile, Name: path, Line: 2}},
	}, r.Changes)
	for _, s := range l.Origins() {
		require.Equal(t, s.Key == "pinned.addr", s.Restart)
		if s.Restart {
			require.Equal(t, 2, s.Origin.Line, "the origin of the value that runs")
		}
	}
	replace(t, path, "a: 2\nsecret: s2\npinned: {addr: one}\n")
	require.Empty(t, l.next(t).Restart)
}

func TestVotes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(1))
	l := start(t, config.Options{}, path)
	veto := errors.New("three is not possible")
	var told []int
	endVote := l.Subscribe(func(old, next pair) error {
		require.Equal(t, 1, old.A)
		if next.A == 3 {
			return veto
		}
		if next.A == 4 {
			panic("four")
		}
		return nil
	})
	defer l.OnChange(func(old, next pair) { told = append(told, old.A, next.A) })()

	replace(t, path, pairText(3))
	require.ErrorIs(t, l.next(t).Err, veto)
	replace(t, path, pairText(4))
	require.ErrorContains(t, l.next(t).Err, "panicked: four")
	require.Equal(t, 1, l.Get().A)
	require.Empty(t, told)

	replace(t, path, "# a comment\n"+pairText(1))
	r := l.next(t)
	require.NoError(t, r.Err)
	require.Empty(t, r.Changes)
	require.Empty(t, told, "no value changed")

	endVote()
	replace(t, path, pairText(3))
	require.NoError(t, l.next(t).Err)
	require.Equal(t, []int{1, 3}, told)
}

// TestReadersSeeOneGeneration (F-CFG-1, F-CFG-5, G1): readers hammer the store and two views while files change as fast
// as they can.
func TestReadersSeeOneGeneration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(0))
	l := start(t, config.Options{Debounce: time.Millisecond}, path)
	sum := config.View(l.Store, func(p pair) [2]int { return [2]int{p.A, p.B} })
	type derived struct{ text string }
	text := config.View(l.Store, func(p pair) *derived { return &derived{fmt.Sprint(p.A, p.B)} })
	require.Same(t, text.Get(), text.Get(), "computed at the swap, not at each Get")

	stop := make(chan struct{})
	var readers sync.WaitGroup
	var reads atomic.Int64
	for range 4 {
		readers.Go(func() {
			last := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := l.Current()
				if s.Value.A != s.Value.B || s.Generation < last {
					t.Errorf("mixed: %+v after generation %d", s, last)
					return
				}
				last = s.Generation
				if v := sum.Get(); v[0] != v[1] {
					t.Errorf("mixed view: %v", v)
					return
				}
				reads.Add(1)
			}
		})
	}
	for n := 1; n <= 100; n++ {
		replace(t, path, pairText(n))
		if n%10 == 0 {
			l.until(t, n)
			require.Equal(t, fmt.Sprint(n, n), text.Get().text)
		}
	}
	close(stop)
	readers.Wait()
	require.Positive(t, reads.Load())
}

// TestReloadsLeaveNoGoroutines (F-LEAK-1).
func TestReloadsLeaveNoGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(0))
	l := start(t, config.Options{Debounce: time.Millisecond}, path)
	replace(t, path, pairText(1))
	l.until(t, 1)
	before := runtime.NumGoroutine()
	for n := 2; n <= 101; n++ {
		replace(t, path, pairText(n))
		l.until(t, n)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestReloadByHandAndSecondRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(0))
	store, err := config.Load(t.Context(), pair{}, config.Options{Files: []config.File{{Path: path}}, Environ: []string{}, History: 2})
	require.NoError(t, err)
	for n := range 5 {
		write(t, path, pairText(n))
		require.NoError(t, store.Reload(t.Context()))
		require.Equal(t, n, store.Get().A)
	}
	require.Len(t, store.Reloads(), 2)
	require.EqualValues(t, 6, store.Reloads()[1].Generation)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	entered, release := make(chan struct{}), make(chan struct{})
	defer store.Subscribe(func(pair, pair) error { close(entered); <-release; return nil })()
	write(t, path, pairText(9))
	done := make(chan error)
	go func() { done <- store.Reload(t.Context()) }()
	<-entered
	cancel()
	require.ErrorIs(t, store.Reload(ctx), context.Canceled, "one reload at a time")
	close(release)
	require.NoError(t, <-done)
}

func TestPanickingViewRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	write(t, path, pairText(1))
	store, err := config.Load(t.Context(), pair{}, config.Options{Files: []config.File{{Path: path}}, Environ: []string{}})
	require.NoError(t, err)
	view := config.View(store, func(p pair) int { return 10 / p.A })
	write(t, path, pairText(0))
	require.ErrorContains(t, store.Reload(t.Context()), "a view panicked")
	require.Equal(t, 1, store.Get().A)
	require.Equal(t, 10, view.Get())
	require.Equal(t, 7, config.Fixed(7).Get())
	require.Zero(t, config.Value[int]{}.Get())
}
