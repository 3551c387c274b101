package sagatest_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// trip books a flight and then a room.
type booking struct{ Flight string }

// airline is a fake of the port that the saga calls. It has its effects at a participant of the kit.
type airline struct{ at *sagatest.Participant }

func (a airline) Book(c saga.Ctx, _ booking) (string, error) { return "LH-17", a.at.Do(c, c.Key()) }

// Cancel forgets that it is also called when the booking's answer was lost, and so no number is known.
func (a airline) Cancel(c saga.Ctx, _ booking, flight string) error {
	if flight == "" {
		return nil
	}
	return a.at.Undo(c, c.Key())
}

// A test of a saga is a few lines: build the fakes and the definition. Explore makes the faults.
func ExampleExplore() {
	test := func(t *testing.T) {
		setup := func(w *sagatest.World) *saga.Def[booking] {
			air, hotel := airline{w.Participant("airline")}, w.Participant("hotel")
			return saga.Define("trip", 1,
				saga.Step("flight", air.Book).Undo(air.Cancel).Into(func(b *booking, no string) { b.Flight = no }),
				saga.Pivot("room", func(c saga.Ctx, _ booking) (saga.None, error) { return saga.None{}, hotel.Do(c, c.Key()) }),
			)
		}
		found := sagatest.Search(t, booking{}, setup).Findings[0] // Explore fails the test and prints it, with a diagram
		fmt.Println(found.Finding)
		fmt.Println("schedule:", found.Schedule)
	}
	asTest(test)
	// Output:
	// undo-skips-unknown of "flight" (SAFE-9): its undo succeeded without taking the effect at airline back when the step's outcome was not known
	// schedule: unknown-effect@flight/do
}

// asTest stands for "go test": an example has no testing.T.
func asTest(f func(t *testing.T)) {
	for name, value := range map[string]string{"test.v": "false", "test.count": "1"} { // the example prints once, and only itself
		if v := flag.Lookup(name); v != nil {
			defer func(was string) { _ = flag.Set(name, was) }(v.Value.String())
			_ = flag.Set(name, value)
		}
	}
	testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "TestTrip", F: f}})
}
