package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// TestMain lets the test binary be the shop that a demo starts as its child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

// demoSaga runs the demo as the command does; every claim of it is an assertion of this test.
func demoSaga(t *testing.T, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(t.Context(), append([]string{"demo", "saga", "--json"}, args...), &out, &errs)
	require.NoError(t, err, "%s\n%s", out.String(), errs.String())
	scenarios := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var a struct {
			Scenario string
			OK       bool
		}
		require.NoError(t, json.Unmarshal([]byte(line), &a), line)
		require.True(t, a.OK, line)
		scenarios[a.Scenario]++
	}
	require.Len(t, scenarios, 5)
}

func TestDemoSagaEmbedded(t *testing.T) {
	t.Parallel()
	demoSaga(t)
}

func TestDemoSagaOnServers(t *testing.T) {
	for setting, server := range map[string]string{
		"DB_DSN": "MMF_TEST_POSTGRES_DSN", "KAFKA_BROKERS": "MMF_TEST_KAFKA_BROKERS", "REDIS_ADDR": "MMF_TEST_REDIS_ADDR",
	} {
		value := os.Getenv(server)
		if value == "" {
			t.Skipf("%s is not set: the demo needs Postgres, Kafka and Redis", server)
		}
		t.Setenv(platform.EnvPrefix+setting, value)
	}
	demoSaga(t, "--env", "servers")
}

func TestDemoSaysWhatIsWrongWithItsArguments(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"demo":                       "petstore demo saga",
		"demo nope":                  `there is no demo "nope"`,
		"demo saga --only nope":      "choose from happy, decline",
		"demo saga --env prod":       "embedded or servers",
		"demo saga extra":            `unexpected "extra"`,
		"demo saga --colour":         "colour",
		"token --issuer http://[::1": "parse",
	} {
		var out, errs bytes.Buffer
		err := run(t.Context(), strings.Fields(args), &out, &errs)
		require.ErrorContains(t, err, want, args)
		require.Empty(t, out.String(), args)
	}
}
