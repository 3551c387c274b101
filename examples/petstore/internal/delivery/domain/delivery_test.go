package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/examples/petstore/internal/delivery/domain"
)

func TestParsePriority(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]domain.Priority{"": domain.Normal, "normal": domain.Normal, "express": domain.Express} {
		got, err := domain.ParsePriority(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"Express", "soon", " normal"} {
		_, err := domain.ParsePriority(bad)
		require.ErrorContains(t, err, "must be normal or express")
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	// 23:30 in New York is the next day in UTC, over the end of February of a leap year.
	now := time.Date(2028, 2, 27, 23, 30, 0, 0, time.FixedZone("EST", -5*3600))
	require.Equal(t, []domain.Day{"2028-02-29", "2028-03-01"}, domain.Days(now, domain.Express, 2))
	require.Equal(t, []domain.Day{"2028-03-01", "2028-03-02", "2028-03-03"}, domain.Days(now, domain.Normal, 3))
	require.Empty(t, domain.Days(now, domain.Normal, 0))
	require.Empty(t, domain.Days(now, domain.Normal, -1))
}

func TestCancelOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	d := domain.Delivery{Status: domain.Scheduled}
	require.True(t, d.Cancel(now))
	require.Equal(t, domain.Delivery{Status: domain.Cancelled, UpdatedAt: now}, d)
	require.False(t, d.Cancel(now.Add(time.Hour)))
	require.Equal(t, now, d.UpdatedAt)
	require.Equal(t, domain.DeliveryID("k"), domain.DeliveryID("k"))
	require.NotEqual(t, domain.DeliveryID("k"), domain.DeliveryID("l"))
}
