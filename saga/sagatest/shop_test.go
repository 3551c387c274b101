package sagatest_test

import (
	"context"
	"errors"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// order is the state of a small saga: money is set aside, goods are reserved, the money is taken, a parcel leaves.
type order struct {
	Cents   int
	Payment string
	Stock   string
}

// shop is what the saga's steps call. The fields that are set plant a bug each.
type shop struct {
	w                       *sagatest.World
	db                      data.DB
	payments, stock, parcel *sagatest.Participant
	bug                     string
}

func newShop(w *sagatest.World, bug string) *shop {
	s := &shop{
		w: w, db: w.DB(), payments: w.Participant("payments"), stock: w.Participant("stock"), parcel: w.Participant("courier"), bug: bug,
	}
	w.Always("goods leave only when paid", func() error {
		if s.parcel.Holds("ship") && !s.payments.Holds("capture") {
			return errors.New("a parcel left and nobody paid")
		}
		return nil
	})
	w.Finally("the order stands exactly if the saga completed", func(end saga.Outcome) error {
		var n int
		if err := s.db.QueryRow(context.Background(), `select count(*) from orders`).Scan(&n); err != nil {
			return err
		}
		if (n == 1) != (end == saga.Completed) {
			return errors.New("the table of orders disagrees with the outcome")
		}
		return nil
	})
	return s
}

func schema(ctx context.Context, db data.DB) error {
	_, err := db.Exec(ctx, `create table orders (id text primary key)`)
	return err
}

func (s *shop) create(c saga.Ctx, tx data.Tx, _ order) (saga.None, error) {
	_, err := tx.Exec(c, `insert into orders (id) values ($1)`, string(c.SagaID()))
	return saga.None{}, err
}

func (s *shop) remove(c saga.Ctx, tx data.Tx, _ order, _ saga.None) error {
	_, err := tx.Exec(c, `delete from orders where id = $1`, string(c.SagaID()))
	return err
}

func (s *shop) charge(c saga.Ctx, _ order) (string, error) {
	return "pay-1", s.payments.Do(c, c.Key())
}

func (s *shop) refund(c saga.Ctx, _ order, _ string) error { return s.payments.Undo(c, c.Key()) }

func (s *shop) reserve(c saga.Ctx, _ order) (string, error) { return "res-1", s.stock.Do(c, c.Key()) }

func (s *shop) release(c saga.Ctx, _ order, _ string) error { return s.stock.Undo(c, c.Key()) }

func (s *shop) capture(c saga.Ctx, o order) (saga.None, error) {
	if o.Payment == "" {
		return saga.None{}, saga.Reject("there is no payment to capture")
	}
	return saga.None{}, s.payments.Do(c, c.Key())
}

func (s *shop) ship(c saga.Ctx, _ order) (saga.None, error) {
	return saga.None{}, s.parcel.Do(c, c.Key())
}

func (s *shop) definition() *saga.Def[order] {
	return saga.Define("order", 1,
		saga.TxStep("create", s.create).Undo(s.remove),
		saga.Step("charge", s.charge).Undo(s.refund).Into(func(o *order, id string) { o.Payment = id }),
		saga.Step("reserve", s.reserve).Undo(s.release).Into(func(o *order, id string) { o.Stock = id }),
		saga.Pivot("capture", s.capture),
		saga.Retriable("ship", s.ship),
	)
}
