package resilience

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClockSteps (F-CLK-1): only a disagreement of the two clocks starts a new window, not the passing of time.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	const window = 10 * time.Second
	require.False(t, stepped(time.Hour, time.Hour, window))
	require.False(t, stepped(time.Second, 2*time.Second, window))
	require.True(t, stepped(-time.Hour, time.Second, window))
	require.True(t, stepped(time.Hour, time.Second, window))
	require.False(t, clockStepped(time.Time{}, time.Now(), window))
	now := time.Now()
	require.False(t, clockStepped(now, now.Add(time.Hour), window))
}
