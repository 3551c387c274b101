package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// steady takes the same time for each saga.
type steady time.Duration

func (s steady) saga(_ context.Context, o order) (order, error) {
	time.Sleep(time.Duration(s))
	return finished(o), nil
}
func (steady) close(context.Context) error { return nil }

func TestRateAndLatencyOfAClosedLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, sagas, err := drive(t.Context(), steady(10*time.Millisecond), 8, load{warm: time.Second, measure: 4 * time.Second})
		require.NoError(t, err)
		require.InEpsilon(t, 800, f.PerSecond, 0.01)
		require.Equal(t, 10*time.Millisecond, f.P50)
		require.Equal(t, 10*time.Millisecond, f.P99)
		require.InDelta(t, 800*5, sagas, 8, "warm-up is counted for what a saga costs")
	})
}

// An engine that needs 3 s for 512 sagas has not ended one when a warm-up of a second is over, and ends 512 at once later.
func TestASlowEngineIsDrivenUntilItsRateShows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f, _, err := drive(t.Context(), steady(3*time.Second), 512, load{warm: time.Second, measure: 4 * time.Second})
		require.NoError(t, err)
		require.InEpsilon(t, 512.0/3, f.PerSecond, 0.01)
		require.Equal(t, 15*time.Second, time.Since(began).Round(time.Second), "one wave of warm-up, three measured, one to its end")
	})
}

func TestAnEngineThatDoesNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, err := drive(t.Context(), steady(time.Hour), 2, load{warm: time.Second, measure: 4 * time.Second})
		require.ErrorContains(t, err, "no saga ended within 16s")
	})
}

func TestOnlyWhatEndsInTheMeasuredPartCounts(t *testing.T) {
	t.Parallel()
	from := time.Now()
	at := func(ms int) time.Time { return from.Add(time.Duration(ms) * time.Millisecond) }
	f, err := summarize([]ending{{at(-1), 1}, {at(0), 2}, {at(500), 30}, {at(1), 10}, {at(2000), 20}, {at(2001), 4}}, from, at(2000))
	require.NoError(t, err)
	require.Equal(t, figures{PerSecond: 1.5, P50: 20, P95: 30, P99: 30}, f)
}
