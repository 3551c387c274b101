package faulttest_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets this test binary be the worker of its own tests.
func TestMain(m *testing.M) {
	if spec := os.Getenv(workerEnv); spec != "" {
		if err := work(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The tests wait for leases and processes more than they work.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// long says that the night's share of sweeps and schedules is to be run.
var long = os.Getenv("MMF_TEST_LONG") != ""
