package saga_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// carryOut runs one saga to its end in an engine of its own.
func carryOut[S any](def *saga.Def[S], input S) (out S, err error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, closeStore, err := newStore(ctx)
	if err != nil {
		return out, err
	}
	defer func() { _ = closeStore() }()
	engine, err := saga.New(saga.Config{}, store, def)
	if err != nil {
		return out, err
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	defer func() { stop(); err = errors.Join(err, <-ended) }()
	run, err := def.Start(ctx, engine, "one", input)
	if err != nil {
		return out, err
	}
	return run.Result(ctx)
}

type Parcel struct{ To, Label string }

type Shipment struct{ Parcels []Parcel }

// Each parcel is a small saga over itself. One that cannot be sent takes all of them back.
func ExampleEach() {
	book := saga.Step("book", func(_ saga.Ctx, p Parcel) (string, error) {
		if p.To == "Atlantis" {
			return "", saga.Reject("nobody goes to %s", p.To)
		}
		return "label to " + p.To, nil
	}).Undo(func(c saga.Ctx, _ Parcel, label string) error {
		fmt.Println(c.Step(), "cancels the", label)
		return nil
	}).Into(func(p *Parcel, label string) { p.Label = label })

	each := saga.Each("parcels", func(s Shipment) []Parcel { return s.Parcels }, book).
		Limit(1). // or as many side by side as the courier bears
		Into(func(s *Shipment, done []Parcel) { s.Parcels = done })
	ship := saga.Define("ship", 1, each)

	done, err := carryOut(ship, Shipment{Parcels: []Parcel{{To: "Ulm"}, {To: "Bonn"}}})
	fmt.Println(done.Parcels[1].Label, err)

	_, err = carryOut(ship, Shipment{Parcels: []Parcel{{To: "Ulm"}, {To: "Bonn"}, {To: "Atlantis"}}})
	fmt.Println(err)
	// Output:
	// label to Bonn <nil>
	// parcels[1]/book cancels the label to Bonn
	// parcels[0]/book cancels the label to Ulm
	// saga: one was compensated: step "parcels[2]/book": nobody goes to Atlantis
}

type Charge struct {
	Cents   int
	Receipt string
}

type Trip struct {
	City    string
	Cents   int
	Receipt string
}

// A definition is a part of others: pay knows nothing of trips.
func ExampleChild() {
	pay := saga.Define("pay", 1,
		saga.Step("charge", func(c saga.Ctx, p Charge) (string, error) {
			return fmt.Sprintf("%s of %d cents", c.Step(), p.Cents), nil
		}).Undo(func(_ saga.Ctx, _ Charge, receipt string) error {
			fmt.Println("refund", receipt)
			return nil
		}).Into(func(p *Charge, receipt string) { p.Receipt = receipt }))

	book := saga.Define("book-trip", 1,
		saga.Child("payment", pay, func(t Trip) Charge { return Charge{Cents: t.Cents} }).
			Into(func(t *Trip, p Charge) { t.Receipt = p.Receipt }),
		saga.Step("hotel", func(_ saga.Ctx, t Trip) (saga.None, error) {
			if t.City == "Atlantis" {
				return saga.None{}, saga.Reject("%s is under water", t.City)
			}
			return saga.None{}, nil
		}).Undo(func(saga.Ctx, Trip, saga.None) error { return nil }))

	trip, err := carryOut(book, Trip{City: "Ulm", Cents: 900})
	fmt.Println(trip.Receipt, err)

	_, err = carryOut(book, Trip{City: "Atlantis", Cents: 900})
	fmt.Println(err)
	// Output:
	// payment/charge of 900 cents <nil>
	// refund payment/charge of 900 cents
	// saga: one was compensated: step "hotel": Atlantis is under water
}

// The order is confirmed in the service's own database: it either commits together with its record, and the saga only goes
// forward, or it rolls back, and the saga goes back.
func ExampleTxPivot() {
	reserve := saga.Step("reserve", func(saga.Ctx, Order) (saga.None, error) { return saga.None{}, nil }).
		Undo(func(_ saga.Ctx, o Order, _ saga.None) error {
			fmt.Println("release", o.Pet)
			return nil
		})
	confirm := saga.TxPivot("confirm", func(c saga.Ctx, tx data.Tx, o Order) (saga.None, error) {
		if _, err := tx.Exec(c, `create table confirmed (pet text, cents integer check (cents > 0))`); err != nil {
			return saga.None{}, err
		}
		_, err := tx.Exec(c, `insert into confirmed (pet, cents) values ($1, $2)`, o.Pet, o.Cents)
		return saga.None{}, err
	}).Retry(saga.Retry{Max: 1})
	buy := saga.Define("buy", 1, reserve, confirm)

	_, err := carryOut(buy, Order{Pet: "Buddy", Cents: 120_000})
	fmt.Println("Buddy:", err)
	_, err = carryOut(buy, Order{Pet: "Rex", Cents: -1})
	fmt.Println("Rex is compensated:", err != nil)
	// Output:
	// Buddy: <nil>
	// release Rex
	// Rex is compensated: true
}
