package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/marty-framework/mmf/examples/petstore/internal/platform"
)

// placed is the answer to a new order.
func placed(r Reply) (id string) {
	var accepted struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(r.Body, &accepted) // what is no such answer has no id, and the assertion on the status shows it
	return accepted.ID
}

// whole are the states of an order's steps when everything went well.
func whole() []string {
	return []string{"create_order done", "reserve_pet done", "process_payment done", "schedule_delivery done", "confirm_order done"}
}

func happy(ctx context.Context, n *Narrator, lab *Lab) error {
	shop, err := lab.Shop(ctx)
	if err != nil {
		return err
	}
	alice, err := shop.As(ctx, "alice")
	if err != nil {
		return err
	}
	admin, err := shop.As(ctx, "admin")
	if err != nil {
		return err
	}
	key, correlation := rand.Text(), "demo-happy-"+rand.Text()[:8]

	n.Step("Alice orders Buddy for 1,200.00 plus 8 % tax",
		"The order is taken at once and carried out by four services that talk through Kafka only.")
	r, err := alice.buy(ctx, "golden-retriever-001", "pm_visa", key, correlation)
	if err != nil {
		return err
	}
	id := placed(r)
	n.Equal("the order is taken", http.StatusAccepted, r.Status)
	n.Equal("the answer says where it is", "/api/v1/orders/"+id, r.Header.Get("Location"))
	n.Equal("the correlation id comes back", correlation, r.Header.Get("X-Correlation-Id"))
	n.Note("order %s, correlation id %s", id, correlation)

	n.Step("Alice's connection breaks and she sends the same order again", "A request that arrives twice must not buy two dogs.")
	again, err := alice.buy(ctx, "golden-retriever-001", "pm_visa", key, correlation)
	if err != nil {
		return err
	}
	n.Equal("it is the same order", id, placed(again))
	n.Equal("and the answer says so", "true", again.Header.Get("Idempotent-Replayed"))

	n.Step("The saga runs", "Each step is written down before it is done, so nothing is lost or done twice.")
	o, err := alice.settled(ctx, id)
	if err != nil {
		return err
	}
	n.Equal("the order is approved", "approved", o.State)
	n.Equal("all five steps are done", whole(), o.steps())
	n.Equal("the amount is price and tax", int64(129600), o.AmountCents)

	n.Step("We look into the services' own books", "What the order says is worth nothing if the others disagree.")
	if err := paidOnce(ctx, n, admin, id, 129600); err != nil {
		return err
	}
	d, err := get[delivery](ctx, alice, "/api/v1/deliveries/"+id)
	if err != nil {
		return err
	}
	n.Equal("the delivery is planned", "scheduled", d.Status)
	status, err := alice.petBecomes(ctx, "golden-retriever-001", "sold")
	if err != nil {
		return err
	}
	n.Equal("Buddy is sold", "sold", status)
	if err := matchesTopic(ctx, n, shop, alice, id); err != nil {
		return err
	}

	n.Step("We follow the correlation id through every topic", "Whoever debugs this order finds all of it by one id, in one trace.")
	// The last to come is the pet's sale, in answer to the approval.
	ours, err := until(ctx, patience, func(ctx context.Context) ([]record, error) { return shop.correlated(ctx, correlation) },
		func(found []record) bool {
			return distinct(found, func(r record) string { return r.Topic }) == len(platform.Topics())
		})
	if err != nil {
		return err
	}
	n.Equal("topics that tell of the order", len(platform.Topics()), distinct(ours, func(r record) string { return r.Topic }))
	n.Equal("records without one of the headers", []string{}, incomplete(ours, "ce_id", "ce_type", "ce_source", "traceparent", "correlation-id"))
	n.Equal("traces over all services", 1, distinct(ours, func(r record) string { return traceID(r.Header["traceparent"]) }))
	return n.Err()
}

// paidOnce asserts that the customer was charged exactly once, by the shop's book and by the gateway's.
func paidOnce(ctx context.Context, n *Narrator, admin *Client, id string, cents int64) error {
	l, err := admin.ledger(ctx, id)
	if err != nil {
		return err
	}
	n.Equal("the gateway's charges", []string{"captured"}, l.charges())
	n.Equal("the ledger's balance in cents", map[string]int64{"USD": cents}, l.Balance)
	n.Equal("the ledger's lines add up to", int64(0), l.sum())
	return n.Err()
}

// matchesTopic asserts that the order's history and the order events in Kafka tell the same.
func matchesTopic(ctx context.Context, n *Narrator, shop *Shop, c *Client, id string) error {
	h, err := get[history](ctx, c, "/api/v1/orders/"+id+"/history")
	if err != nil {
		return err
	}
	want := []string{}
	for _, t := range h.types() {
		want = append(want, "petstore.order."+t+".v1")
	}
	n.Equal("events in the order's history", true, len(want) > 0)
	saw, err := shop.orderEvents(ctx, id, len(want))
	if err != nil {
		return err
	}
	n.Equal("an independent reader finds the same in Kafka", want, saw)
	return n.Err()
}

func traceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}
