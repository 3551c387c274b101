package saga_test

import (
	"fmt"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// A definition draws itself for a README; dotted arrows are the way back.
func ExampleDef_Mermaid() {
	type trip struct{ City string }
	book := func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }
	cancel := func(saga.Ctx, trip, saga.None) error { return nil }

	def := saga.Define("book-trip", 1,
		saga.Parallel("book",
			saga.Step("book-hotel", book).Undo(cancel),
			saga.Step("book-flight", book).Undo(cancel)),
		saga.Pivot("pay", book),
		saga.Retriable("send-tickets", book))

	fmt.Print(def.Mermaid())
	// Output:
	// flowchart TD
	//     start((" "))
	//     subgraph n1["book"]
	//         n1fork((" "))
	//         n2["book-hotel<br/><small>step · 3 tries · 30s</small>"]
	//         n3["book-flight<br/><small>step · 3 tries · 30s</small>"]
	//         n1join((" "))
	//     end
	//     n4[["pay<br/><small>pivot · 10 tries · 30s</small>"]]
	//     n5["send-tickets<br/><small>step, only forward · 10 tries · 30s</small>"]
	//     finish(((" ")))
	//     start --> n1fork
	//     n1fork --> n2
	//     n1fork --> n3
	//     n2 --> n1join
	//     n3 --> n1join
	//     n1join --> n4
	//     n4 ==>|"point of no return"| n5
	//     n5 --> finish
	//     n1fork -. undo .-> start
	//     n2 -. undo .-> n1fork
	//     n1join -. undo .-> n2
	//     n3 -. undo .-> n1fork
	//     n1join -. undo .-> n3
	//     classDef pivot stroke:#d6336c,stroke-width:3px
	//     class n4 pivot
}

// The picture of a run colours each step by its status; serve it as image/svg+xml. Its status comes from [saga.Engine.Status].
func ExampleDef_SVGOf() {
	type trip struct{ City string }
	book := func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }
	def := saga.Define("book-trip", 1, saga.Step("book-hotel", book), saga.Step("book-flight", book))

	svg := def.SVGOf(saga.Status{ID: "trip-4", State: saga.StateRunning, Steps: []saga.StepStatus{
		{Name: "book-hotel", Status: "done"},
		{Name: "book-flight", Status: "retrying", Failed: 2, Error: "airline: timeout"},
	}})

	fmt.Println(strings.Contains(svg, "retrying · 2 failed attempts"))
	// Output: true
}
