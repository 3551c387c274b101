package saga_test

import (
	"fmt"

	"github.com/marty-framework/mmf/saga"
)

// Before the old version is taken out: where must a trip stand to be able to continue under the new one?
func ExampleDiff() {
	type trip struct{ City string }
	book := func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil }
	cancel := func(saga.Ctx, trip, saga.None) error { return nil }
	hotel := saga.Step("book-hotel", book).Undo(cancel)
	flight := saga.Step("book-flight", book).Undo(cancel)

	v1 := saga.Define("book-trip", 1, hotel, flight, saga.Pivot("pay", book))
	v2 := saga.Define("book-trip", 2, hotel, flight,
		saga.Step("book-car", book).Undo(cancel),
		saga.Pivot("pay", book).Retry(saga.Retry{Max: 20}))

	d, err := saga.Diff(v1, v2)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(d)
	// Output:
	// added "book-car": step in the definition
	// altered "pay": retry 10×200ms..30s → 20×200ms..30s
	// done [], active [book-hotel]: compatible
	// done [book-hotel], active [book-flight]: compatible
	// done [book-hotel book-flight], active [pay]: incompatible: "book-car" would have had to run before "pay"
}
