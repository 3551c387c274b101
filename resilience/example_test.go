package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/resilience"
)

// A dependency that is down is asked a few times, then left alone, and a cached answer is given instead.
func Example() {
	catalog, err := resilience.New(resilience.Config{
		Name:    "catalog",
		Timeout: time.Second,
		Retry:   resilience.Retry{Max: 1, First: time.Millisecond},
		Breaker: resilience.Breaker{Failures: 3, Cooldown: time.Minute},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fetch := func(context.Context) (string, error) {
		fmt.Println("asking the catalog")
		return "", errors.New("connection refused")
	}
	cached := func(_ context.Context, cause error) (string, error) {
		return fmt.Sprintf("yesterday's list (open: %v)", errors.Is(cause, resilience.ErrOpen)), nil
	}
	for range 3 {
		list, err := resilience.DoOr(context.Background(), catalog, fetch, cached, resilience.Idempotent())
		fmt.Println(list, err)
	}
	fmt.Println(catalog.State().Breaker)
	// Output:
	// asking the catalog
	// asking the catalog
	// yesterday's list (open: false) <nil>
	// asking the catalog
	// yesterday's list (open: true) <nil>
	// yesterday's list (open: true) <nil>
	// open
}

// Policies of one application live in a set; the configuration file names them.
func ExampleSet() {
	set, err := resilience.NewSet(
		resilience.Config{Name: "payment", Bulkhead: resilience.Bulkhead{Max: 5}},
		resilience.Config{Name: "database", Bulkhead: resilience.Bulkhead{Max: 10, Wait: time.Second}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range set.Policies() {
		fmt.Println(p.Name(), p.State().Limit)
	}
	_, err = set.Policy("paiment")
	fmt.Println(err)
	// Output:
	// database 10
	// payment 5
	// resilience: unknown policy "paiment"; known: database, payment
}
