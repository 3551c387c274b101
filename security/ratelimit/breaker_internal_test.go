package ratelimit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// B1: closed → open → one probe at a time → closed; results from before a change are ignored; the pause doubles to 5 s.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b breaker
		enter := func() ticket {
			t.Helper()
			pass, _, ok := b.enter()
			require.True(t, ok)
			return pass
		}
		refused := func() time.Duration {
			t.Helper()
			_, wait, ok := b.enter()
			require.False(t, ok)
			require.Positive(t, wait)
			return wait
		}
		early, earlyGood := enter(), enter()
		b.leave(enter(), failed)
		b.leave(enter(), failed)
		b.leave(enter(), answered) // failures count in a row only
		b.leave(enter(), failed)
		b.leave(enter(), abandoned)
		up, changed := b.leave(enter(), failed)
		require.True(t, up)
		require.False(t, changed)
		up, changed = b.leave(enter(), failed)
		require.False(t, up)
		require.True(t, changed)
		require.Equal(t, time.Second, refused())

		_, changed = b.leave(earlyGood, answered)
		require.False(t, changed, "a success that began before the breaker opened does not close it")
		for _, pause := range []time.Duration{1, 2, 4, 5, 5} {
			require.Equal(t, pause*time.Second, refused())
			time.Sleep(pause * time.Second)
			probe := enter()
			refused() // a second call while the probe is under way
			_, changed = b.leave(probe, failed)
			require.False(t, changed)
		}
		time.Sleep(5 * time.Second)
		b.leave(enter(), abandoned)
		probe := enter() // the abandoned probe left its place
		up, changed = b.leave(probe, answered)
		require.True(t, up)
		require.True(t, changed)
		for range 5 {
			b.leave(early, failed)
		}
		enter() // failures of calls from before do not open it again
	})
}
