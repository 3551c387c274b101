package demo

import (
	"context"
	"crypto/rand"
	"net/http"
)

// order places an order and waits until its saga is over.
func (c *Client) order(ctx context.Context, n *Narrator, petID, method string) (o order, err error) {
	r, err := c.buy(ctx, petID, method, rand.Text(), "demo-"+rand.Text()[:8])
	if err != nil {
		return o, err
	}
	n.Equal("the order is taken", http.StatusAccepted, r.Status)
	if n.Err() != nil {
		return o, n.Err()
	}
	n.Note("order %s", placed(r))
	return c.settled(ctx, placed(r))
}

func decline(ctx context.Context, n *Narrator, lab *Lab) error {
	shop, err := lab.Shop(ctx)
	if err != nil {
		return err
	}
	bob, err := shop.As(ctx, "bob")
	if err != nil {
		return err
	}
	admin, err := shop.As(ctx, "admin")
	if err != nil {
		return err
	}
	n.Step("Bob orders Princess with a card that will be declined", "The pet is reserved before the card says no: the shop has to give it back.")
	o, err := bob.order(ctx, n, "persian-cat-002", "pm_declined")
	if err != nil {
		return err
	}
	n.Equal("the order is cancelled", "cancelled", o.State)
	n.Equal("every step", []string{
		"create_order undone", "reserve_pet undone", "process_payment rejected", "schedule_delivery pending", "confirm_order pending",
	}, o.steps())
	s, err := get[saga](ctx, bob, "/api/v1/sagas/"+o.ID)
	if err != nil {
		return err
	}
	n.Equal("taken back from the last to the first", []string{"reserve_pet", "create_order"}, s.undone())

	n.Step("We look into the services' own books", "A compensation counts when nothing of the order is left.")
	status, err := bob.petBecomes(ctx, "persian-cat-002", "available")
	if err != nil {
		return err
	}
	n.Equal("Princess is for sale again", "available", status)
	l, err := admin.ledger(ctx, o.ID)
	if err != nil {
		return err
	}
	n.Equal("the gateway's charges", []string{"declined"}, l.charges())
	n.Equal("Bob's money in the ledger, in cents", int64(0), l.Balance["USD"])
	r, err := bob.Do(ctx, http.MethodGet, "/api/v1/deliveries/"+o.ID, nil, nil)
	if err != nil {
		return err
	}
	n.Equal("there is no delivery", http.StatusNotFound, r.Status)
	return matchesTopic(ctx, n, shop, bob, o.ID)
}

func unknown(ctx context.Context, n *Narrator, lab *Lab) error {
	shop, err := lab.Shop(ctx)
	if err != nil {
		return err
	}
	carol, err := shop.As(ctx, "carol")
	if err != nil {
		return err
	}
	admin, err := shop.As(ctx, "admin")
	if err != nil {
		return err
	}
	n.Step("Carol orders Sunny; the bank charges her and never answers",
		"The shop cannot know what happened. It asks again under the same key, or pays back under it: never does it charge twice.")
	o, err := carol.order(ctx, n, "cockatiel-003", "pm_charge_then_timeout")
	if err != nil {
		return err
	}
	l, err := admin.ledger(ctx, o.ID)
	if err != nil {
		return err
	}
	n.Equal("the bank heard of it more than once", true, len(l.Gateway) > 0 && l.Gateway[0].Attempts > 1)
	n.Equal("the ledger's lines add up to", int64(0), l.sum())
	if o.State == "approved" {
		n.Equal("the order went through, so every step", whole(), o.steps())
		return paidOnce(ctx, n, admin, o.ID, 32400)
	}
	n.Equal("the order is cancelled", "cancelled", o.State)
	n.Equal("so the gateway keeps nothing: charges captured", 0, l.captured())
	n.Equal("Carol's money in the ledger, in cents", int64(0), l.Balance["USD"])
	return n.Err()
}

func race(ctx context.Context, n *Narrator, lab *Lab) error {
	shop, err := lab.Shop(ctx)
	if err != nil {
		return err
	}
	admin, err := shop.As(ctx, "admin")
	if err != nil {
		return err
	}
	n.Step("Bob and Carol order Bubbles at the same moment",
		"There is one goldfish. Both orders are taken; the catalog decides, and nobody pays for nothing.")
	type result struct {
		o   order
		err error
	}
	results := make(chan result, 2)
	for _, user := range []string{"bob", "carol"} {
		buyer, err := shop.As(ctx, user)
		if err != nil {
			return err
		}
		go func() {
			quiet := NewNarrator(discard{}, false) // the story is told by one
			o, err := buyer.order(ctx, quiet, "goldfish-004", "pm_visa")
			results <- result{o, err}
		}()
	}
	states, captured, kept := map[string]int{}, 0, int64(0)
	for range 2 {
		r := <-results
		if r.err != nil {
			err = r.err
			continue
		}
		n.Note("order %s is %s", r.o.ID, r.o.State)
		states[r.o.State]++
		l, lerr := admin.ledger(ctx, r.o.ID)
		if lerr != nil {
			err = lerr
		}
		captured += l.captured()
		kept += l.Balance["USD"]
	}
	if err != nil {
		return err
	}
	n.Equal("one wins and one loses", map[string]int{"approved": 1, "cancelled": 1}, states)
	n.Equal("charges that the gateway keeps, in all", 1, captured)
	n.Equal("cents in the ledger, in all", int64(2700), kept)
	status, err := admin.petBecomes(ctx, "goldfish-004", "sold")
	if err != nil {
		return err
	}
	n.Equal("Bubbles is sold", "sold", status)
	return n.Err()
}

func crash(ctx context.Context, n *Narrator, lab *Lab) error {
	// A shop that died keeps its sagas and its share of the topics for a while; the demo shall not wait as long as usual.
	const data = "crash"
	hurry := []string{"--set", "saga.ttl=2s", "--set", "kafka.session_timeout=6s"}
	n.Step("A shop runs that kills itself (SIGKILL) right after the command to charge was sent",
		"It is the worst moment: the money may move and nobody is there to see it.")
	shop, err := lab.Start(ctx, data, append(hurry, "--fault", "saga.crash_after_step=process_payment")...)
	if err != nil {
		return err
	}
	alice, err := shop.As(ctx, "alice")
	if err != nil {
		return err
	}
	r, err := alice.buy(ctx, "bearded-dragon-005", "pm_visa", rand.Text(), "demo-crash-"+rand.Text()[:8])
	if err != nil {
		return err
	}
	id := placed(r)
	n.Equal("Alice's order of Spike is taken", http.StatusAccepted, r.Status)
	if n.Err() != nil {
		return n.Err()
	}
	n.Note("order %s", id)
	gone, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.Equal("the process is gone", true, shop.Gone(gone) == nil)
	n.Equal("and did not end by itself: it was", "signal: killed", shop.Ending())

	n.Step("The shop starts again, with the same data", "Nobody repairs anything: the journal says what was begun.")
	shop, err = lab.Start(ctx, data, hurry...)
	if err != nil {
		return err
	}
	if alice, err = shop.As(ctx, "alice"); err != nil {
		return err
	}
	admin, err := shop.As(ctx, "admin")
	if err != nil {
		return err
	}
	o, err := alice.settled(ctx, id)
	if err != nil {
		return err
	}
	n.Equal("the order is approved", "approved", o.State)
	n.Equal("every step", whole(), o.steps())
	if err := paidOnce(ctx, n, admin, id, 16200); err != nil {
		return err
	}
	if err := matchesTopic(ctx, n, shop, alice, id); err != nil {
		return err
	}
	h, err := get[history](ctx, alice, "/api/v1/orders/"+id+"/history")
	if err != nil {
		return err
	}
	n.Equal("the order happened once", []string{"created", "approved"}, h.types())
	status, err := alice.petBecomes(ctx, "bearded-dragon-005", "sold")
	if err != nil {
		return err
	}
	n.Equal("Spike is sold", "sold", status)
	return n.Err()
}
