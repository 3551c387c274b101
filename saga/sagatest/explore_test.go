package sagatest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// A saga without bugs survives every fault and every pair of faults.
func TestExploreFindsNothingInASoundSaga(t *testing.T) {
	r := sagatest.Explore(t, order{Cents: 500}, func(w *sagatest.World) *saga.Def[order] {
		return newShop(w, "").definition()
	}, sagatest.Schema(schema))
	require.Greater(t, r.Schedules, 500)
}
