package sagatest_test

import (
	"testing"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// A store of one's own passes the suite that MMF's stores pass.
func ExampleExerciseStore() {
	_ = func(t *testing.T) { // the body of a TestXxx function
		sagatest.ExerciseStore(t, func(t *testing.T) saga.Store {
			store, err := sagasqlite.New(t.Context(), datatest.SQLite(t)) // yours here
			if err != nil {
				t.Fatal(err)
			}
			return store
		})
	}
}
