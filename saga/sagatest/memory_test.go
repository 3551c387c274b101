package sagatest_test

import (
	"testing"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	sagatest.ExerciseStore(t, func(t *testing.T) saga.Store { return sagatest.NewStore(datatest.SQLite(t)) })
}

func TestMemorySchedules(t *testing.T) {
	t.Parallel()
	sagatest.ExerciseSchedules(t, func(*testing.T) saga.Store { return sagatest.NewStore(nil) })
}
