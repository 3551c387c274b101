package saga_test

import (
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

// Lint in a test tells what will hurt in production.
func ExampleLint() {
	type trip struct{ City string }
	book := func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }

	def := saga.Define("book-trip", 1,
		saga.Step("book-hotel", book),
		saga.Pivot("pay", book).Retry(saga.Retry{Max: 2}))

	for _, w := range saga.Lint(def) {
		fmt.Println(w)
	}
	// Output:
	// book-trip@1: "book-hotel" has no Undo, so that its effect stays when the saga turns back: give it one; an Undo that does nothing says that the step only reads (no-undo)
	// book-trip@1: "pay" parks the saga after failing for 200ms: raise Max or Cap; the saga waits as a row, so patience costs nothing (short-budget)
}
