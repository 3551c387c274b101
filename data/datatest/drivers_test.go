package datatest_test

import (
	"testing"

	"github.com/marty-framework/mmf/data/datatest"
)

func TestDrivers(t *testing.T) {
	t.Parallel()
	for name, open := range datatest.Engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			datatest.ExerciseDriver(t, open)
		})
	}
}
