package flags_test

import (
	"context"
	"fmt"
	"time"

	"github.com/marty-framework/mmf/config/flags"
)

func Example() {
	set, err := flags.Load(context.Background(), flags.Options{Data: []byte(`{
	  "flags": {
	    "express_order_processing": {
	      "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"
	    },
	    "gift_wrapping": {
	      "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
	      "targeting": {"if": [
	        {"in": [{"var": "role"}, ["staff"]]}, "on",
	        {"fractional": [["on", 25], ["off", 75]]}
	      ]}
	    }
	  }
	}`)})
	if err != nil {
		fmt.Println(err)
		return
	}
	express := flags.Bool(set, "express_order_processing", true)
	wrapping := flags.Bool(set, "gift_wrapping", false)

	ctx := context.Background()
	fmt.Println(express.Get(ctx))
	staff := flags.WithSubject(ctx, "u1", map[string]any{"role": "staff"})
	detail := wrapping.Evaluate(staff)
	fmt.Println(detail.Value, detail.Variant, detail.Reason)

	in := 0
	for i := range 1000 {
		if wrapping.Get(flags.WithSubject(ctx, fmt.Sprintf("customer-%d", i), nil)) {
			in++
		}
	}
	fmt.Println("about a quarter:", in > 200 && in < 300)

	if err := set.Override("express_order_processing", "off", time.Now().Add(time.Hour)); err != nil {
		fmt.Println(err)
	}
	fmt.Println(express.Get(ctx))
	// Output:
	// true
	// true on TARGETING_MATCH
	// about a quarter: true
	// false
}
