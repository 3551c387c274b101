package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/marty-framework/mmf/examples/petstore/internal/demo"
)

// TestMain lets the test binary play the shop when it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "serve" {
		play(os.Args[len(os.Args)-1])
		return
	}
	goleak.VerifyTestMain(m)
}

func play(part string) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	switch part {
	case "good":
		fmt.Println(`{"ready":true,"urls":{"edge":"http://127.0.0.1:1"},"kafka":{"brokers":["b"],"prefix":"p"}}`)
		fmt.Println(strings.Repeat("talk ", 100_000)) // more than a pipe holds
		<-interrupted
	case "broken":
		fmt.Fprintln(os.Stderr, "the port is taken")
		os.Exit(1)
	case "babbling":
		fmt.Println("hello")
		time.Sleep(time.Minute)
	}
}

var times = regexp.MustCompile(`\(\d+ ms\)|in \d+\.\d s`)

func TestNarratorTellsAndProves(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n := demo.NewNarrator(&out, false)
	n.Scenario("happy", "Alice buys Buddy")
	n.Step("She pays", "Money matters.")
	n.Note("order %s", "ord-1")
	n.Equal("steps", []string{"a", "b"}, []string{"a", "b"})
	n.Equal("reason", "", "")
	n.Equal("charges", 1, 2)
	n.Equal("never looked at", 1, 1)
	n.Step("Nor told", "It is over.")
	require.Equal(t, `
happy: Alice buys Buddy

▸ She pays
  Money matters.
  · order ord-1
  ✓ steps: expected ["a","b"], saw ["a","b"] (N)
  ✓ reason: expected "", saw "" (N)
  ✗ charges: expected 1, saw 2 (N)
`, times.ReplaceAllString(out.String(), "(N)"))
	require.Equal(t, 2, n.Passed())
	var broken *demo.BrokenError
	require.ErrorAs(t, n.Err(), &broken)
	require.EqualError(t, n.Err(), "happy: charges: expected 1, saw 2")
}

func TestNarratorWritesOneObjectPerAssertion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	n := demo.NewNarrator(&out, true)
	n.Scenario("happy", "Alice buys Buddy")
	n.Step("She pays", "Money matters.")
	n.Note("not in JSON")
	n.Equal("charges", 1, 1)
	n.Equal("state", "approved", "placed")
	var all []demo.Assertion
	for line := range strings.Lines(out.String()) {
		var a demo.Assertion
		require.NoError(t, json.Unmarshal([]byte(line), &a))
		a.MS = 0
		all = append(all, a)
	}
	require.Equal(t, []demo.Assertion{
		{Scenario: "happy", Step: "She pays", Claim: "charges", Expected: "1", Saw: "1", OK: true},
		{Scenario: "happy", Step: "She pays", Claim: "state", Expected: "approved", Saw: "placed"},
	}, all)
}

func TestNarratorEndsWhenNobodyListens(t *testing.T) {
	t.Parallel()
	n := demo.NewNarrator(deaf{}, false)
	n.Equal("claim", 1, 1)
	require.ErrorIs(t, n.Err(), io.ErrClosedPipe)
}

type deaf struct{}

func (deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Types count: an int is no int64, so that a claim cannot hold by its looks alone.
func TestEqualComparesValuesNotTheirText(t *testing.T) {
	t.Parallel()
	n := demo.NewNarrator(&bytes.Buffer{}, false)
	n.Equal("number", 1, "1")
	require.Error(t, n.Err())
}

func story(name string, told *[]string, run func(n *demo.Narrator) error) demo.Scenario {
	return demo.Scenario{Name: name, Title: name, Run: func(_ context.Context, n *demo.Narrator, _ *demo.Lab) error {
		*told = append(*told, name)
		return run(n)
	}}
}

func TestRunEndsAtTheFirstBrokenClaim(t *testing.T) {
	t.Parallel()
	var told []string
	var out bytes.Buffer
	broken := func(n *demo.Narrator) error {
		n.Equal("claim", 1, 2)
		return nil // also when the scenario forgets to say so
	}
	fine := func(n *demo.Narrator) error { n.Equal("claim", 1, 1); return nil }
	err := demo.Run(t.Context(), []demo.Scenario{story("a", &told, fine), story("b", &told, broken), story("c", &told, fine)}, demo.Options{}, &out)
	var b *demo.BrokenError
	require.ErrorAs(t, err, &b)
	require.Equal(t, "b", b.Scenario)
	require.Equal(t, []string{"a", "b"}, told)
	require.NotContains(t, out.String(), "passed")
}

func TestRunSaysWhatKeptAScenarioFromGoingOn(t *testing.T) {
	t.Parallel()
	var told []string
	lost := errors.New("connection lost")
	err := demo.Run(t.Context(), []demo.Scenario{story("a", &told, func(*demo.Narrator) error { return lost })}, demo.Options{}, &bytes.Buffer{})
	require.ErrorIs(t, err, lost)
	require.ErrorContains(t, err, "a: ")
}

func TestRunCountsAndTellsHowToRepeat(t *testing.T) {
	t.Parallel()
	var told []string
	var out bytes.Buffer
	fine := func(n *demo.Narrator) error { n.Equal("claim", 1, 1); return nil }
	require.NoError(t, demo.Run(t.Context(), []demo.Scenario{story("a", &told, fine), story("b", &told, fine)}, demo.Options{Only: "b"}, &out))
	require.Equal(t, []string{"b"}, told)
	require.Contains(t, out.String(), "1 assertions passed in ")
	require.Contains(t, out.String(), "curl")
	require.ErrorContains(t, demo.Run(t.Context(), demo.Saga(), demo.Options{Only: "hapy"}, &out), "choose from happy, decline")
}

func shop(t *testing.T, part string) (*demo.Shop, error) {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	return demo.StartShop(t.Context(), binary, part)
}

func TestShopIsStoppedAndKilled(t *testing.T) {
	t.Parallel()
	s, err := shop(t, "good")
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:1", s.URLs["edge"])
	require.Equal(t, "p", s.Kafka.Prefix)
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "stopping twice is no harm")
	require.Equal(t, "exit status 0", s.Ending())

	s, err = shop(t, "good")
	require.NoError(t, err)
	s.Kill()
	require.NoError(t, s.Gone(t.Context()))
	require.Equal(t, "signal: killed", s.Ending())
}

func TestShopThatDoesNotStartLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	_, err := shop(t, "broken")
	require.ErrorContains(t, err, "the port is taken")
	_, err = shop(t, "babbling")
	require.ErrorContains(t, err, "did not start")
	binary, err := os.Executable()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = demo.StartShop(ctx, binary, "silent-until-killed")
	require.Error(t, err)
}
