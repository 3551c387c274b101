package sagapg_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagapg"
	"github.com/marty-framework/mmf/saga/sagatest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	sagatest.ExerciseStore(t, func(t *testing.T) saga.Store {
		store, err := sagapg.New(t.Context(), datatest.Postgres(t))
		require.NoError(t, err)
		return store
	})
}

func TestQueues(t *testing.T) {
	t.Parallel()
	sagatest.ExerciseQueues(t, func(t *testing.T) saga.Store {
		store, err := sagapg.New(t.Context(), datatest.Postgres(t))
		require.NoError(t, err)
		return store
	})
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	sagatest.ExerciseSchedules(t, func(t *testing.T) saga.Store {
		store, err := sagapg.New(t.Context(), datatest.Postgres(t))
		require.NoError(t, err)
		return store
	})
}
