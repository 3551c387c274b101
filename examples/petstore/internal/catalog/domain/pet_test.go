package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/examples/petstore/internal/catalog/domain"
)

func TestPetTransitions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	free := domain.Pet{ID: "p", Name: "Buddy", Status: domain.Available, Version: 1}

	held, changed, err := free.Reserve("o1", now)
	require.NoError(t, err)
	require.True(t, changed)
	require.Equal(t, domain.Pet{ID: "p", Name: "Buddy", Status: domain.Reserved, OrderID: "o1", Version: 2, UpdatedAt: now}, held)

	_, changed, err = held.Reserve("o1", now)
	require.NoError(t, err)
	require.False(t, changed, "the same order again")
	_, _, err = held.Reserve("o2", now)
	require.ErrorIs(t, err, domain.ErrTaken)

	_, changed = held.Release("o2", now)
	require.False(t, changed, "somebody else's")
	back, changed := held.Release("o1", now)
	require.True(t, changed)
	require.Equal(t, domain.Available, back.Status)
	require.Empty(t, back.OrderID)
	_, changed = back.Release("o1", now)
	require.False(t, changed)

	_, changed = free.Sell("o1", now)
	require.False(t, changed, "not reserved")
	sold, changed := held.Sell("o1", now)
	require.True(t, changed)
	require.Equal(t, domain.Sold, sold.Status)
	_, changed = sold.Release("o1", now)
	require.False(t, changed, "sold is sold")
	_, _, err = sold.Reserve("o2", now)
	require.ErrorIs(t, err, domain.ErrTaken)
}
