package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/marty-framework/mmf/examples/petstore/internal/demo"
)

// hints are the first things to try, ready to be copied.
func hints(ctx context.Context, out io.Writer, urls map[string]string) {
	front := first(urls, "edge", "order")
	if front == "" {
		return
	}
	fmt.Fprintf(out, "\nUsers: alice, bob and carol buy; admin looks into everything. In a browser choose one at the top of %s/\n", front)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	token, err := demo.Token(ctx, urls["issuer"], "alice")
	if urls["issuer"] == "" || err != nil {
		token = "$(go run ./examples/petstore token --user alice)"
	}
	fmt.Fprintf(out, `
Buy a goldfish as alice (the token is good for an hour):
  curl -si %s/api/v1/orders -H 'Idempotency-Key: 1' -H 'Content-Type: application/json' \
    -d '{"petId":"goldfish-004","paymentMethod":"pm_visa"}' \
    -H "Authorization: Bearer %s"

Try: go run ./examples/petstore demo saga
`, front, token)
}

func first(urls map[string]string, names ...string) string {
	for _, name := range names {
		if url := urls[name]; url != "" {
			return url
		}
	}
	return ""
}
