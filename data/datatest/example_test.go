package datatest_test

import (
	"fmt"
	"testing"

	"github.com/marty-framework/mmf/data/datatest"
)

// A driver of one's own passes the suite too.
func ExampleExerciseDriver() {
	test := func(t *testing.T) { datatest.ExerciseDriver(t, datatest.SQLite) }
	_ = test // a TestXxx function
	for name := range datatest.Engines() {
		fmt.Println(name)
	}
	// Output:
	// sqlite
	// postgres
}
