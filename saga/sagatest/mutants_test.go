package sagatest_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// nodes is a shop's saga in parts, so that a mutant can exchange one.
type nodes struct {
	create  *saga.TxStepNode[order, saga.None]
	charge  *saga.StepNode[order, string]
	reserve *saga.StepNode[order, string]
	capture saga.Node[order]
	ship    saga.Node[order]
}

func (s *shop) nodes() nodes {
	return nodes{
		create:  saga.TxStep("create", s.create).Undo(s.remove),
		charge:  saga.Step("charge", s.charge).Undo(s.refund).Into(func(o *order, id string) { o.Payment = id }),
		reserve: saga.Step("reserve", s.reserve).Undo(s.release).Into(func(o *order, id string) { o.Stock = id }),
		capture: saga.Pivot("capture", s.capture),
		ship:    saga.Retriable("ship", s.ship),
	}
}

func (n nodes) define() *saga.Def[order] {
	return saga.Define("order", 1, n.create, n.charge, n.reserve, n.capture, n.ship)
}

// mutants are bugs that people write, by the name under which the explorer must find them.
var mutants = map[string]func(s *shop, n nodes) *saga.Def[order]{
	"missing-undo": func(s *shop, n nodes) *saga.Def[order] {
		n.charge = saga.Step("charge", s.charge).Into(func(o *order, id string) { o.Payment = id })
		return n.define()
	},
	"undo-not-idempotent": func(s *shop, n nodes) *saga.Def[order] {
		n.charge.Undo(func(c saga.Ctx, _ order, _ string) error { return s.payments.Undo(c, "") })
		return n.define()
	},
	"undo-assumes-result": func(s *shop, n nodes) *saga.Def[order] {
		n.charge.Undo(func(c saga.Ctx, o order, id string) error {
			if id == "" {
				return errors.New("there is no payment with an empty id")
			}
			return s.refund(c, o, id)
		})
		return n.define()
	},
	"undo-skips-unknown": func(s *shop, n nodes) *saga.Def[order] {
		n.charge.Undo(func(c saga.Ctx, o order, id string) error {
			if !c.ResultKnown() {
				return nil
			}
			return s.refund(c, o, id)
		})
		return n.define()
	},
	"undo-keeps-effect": func(_ *shop, n nodes) *saga.Def[order] {
		n.reserve.Undo(func(saga.Ctx, order, string) error { return nil })
		return n.define()
	},
	"undo-fails": func(_ *shop, n nodes) *saga.Def[order] {
		n.reserve.Undo(func(saga.Ctx, order, string) error { return errors.New("not possible") })
		return n.define()
	},
	"undo-out-of-order": func(s *shop, n nodes) *saga.Def[order] {
		n.reserve.Undo(func(c saga.Ctx, o order, id string) error {
			return errors.Join(s.payments.UndoOf(c, c.Key()+"/refund", "charge"), s.release(c, o, id))
		})
		n.charge.Undo(func(saga.Ctx, order, string) error { return nil })
		return n.define()
	},
	"unkeyed-call": func(s *shop, n nodes) *saga.Def[order] {
		n.charge = saga.Step("charge", func(c saga.Ctx, _ order) (string, error) { return "pay-1", s.payments.Do(c, "") }).
			Undo(s.refund).Into(func(o *order, id string) { o.Payment = id })
		return n.define()
	},
	"shared-key": func(s *shop, n nodes) *saga.Def[order] {
		n.charge = saga.Step("charge", func(c saga.Ctx, _ order) (string, error) { return "pay-1", s.payments.Do(c, string(c.SagaID())) }).
			Undo(s.refund).Into(func(o *order, id string) { o.Payment = id })
		n.capture = saga.Pivot("capture", func(c saga.Ctx, _ order) (saga.None, error) {
			return saga.None{}, s.payments.Do(c, string(c.SagaID()))
		})
		return n.define()
	},
	"effect-outside-transaction": func(s *shop, n nodes) *saga.Def[order] {
		mail := s.w.Participant("mail")
		n.create = saga.TxStep("create", func(c saga.Ctx, tx data.Tx, o order) (saga.None, error) {
			if err := mail.Do(c, c.Key()); err != nil {
				return saga.None{}, err
			}
			return s.create(c, tx, o)
		}).Undo(func(c saga.Ctx, tx data.Tx, o order, r saga.None) error {
			return errors.Join(mail.Undo(c, c.Key()), s.remove(c, tx, o, r))
		})
		return n.define()
	},
	"effect-before-reject": func(s *shop, n nodes) *saga.Def[order] {
		n.reserve = saga.Step("reserve", func(c saga.Ctx, o order) (string, error) {
			if id, err := s.reserve(c, o); err != nil {
				return id, err
			}
			return "", saga.Reject("only now we see that it is the last one")
		}).Undo(s.release)
		return n.define()
	},
	"forgotten-into": func(s *shop, n nodes) *saga.Def[order] {
		n.charge = saga.Step("charge", s.charge).Undo(s.refund)
		return n.define()
	},
	"nondeterministic": func(_ *shop, n nodes) *saga.Def[order] {
		return saga.Define("order", 1, n.create, n.charge, saga.When("lucky", func(order) bool { return rand.IntN(2) == 0 }, n.reserve), n.capture, n.ship)
	},
	"retriable-rejects": func(s *shop, n nodes) *saga.Def[order] {
		n.ship = saga.Retriable("ship", func(c saga.Ctx, _ order) (saga.None, error) {
			if s.parcel.Holds("ship") {
				return saga.None{}, saga.Reject("it has been shipped already")
			}
			return saga.None{}, s.parcel.Do(c, c.Key())
		})
		return n.define()
	},
	"goods leave only when paid": func(_ *shop, n nodes) *saga.Def[order] {
		return saga.Define("order", 1, n.create, n.charge, n.reserve, n.ship, n.capture)
	},
}

// Every planted bug is found, by its name.
func TestExploreFindsEveryPlantedBug(t *testing.T) {
	found := 0
	for name, mutate := range mutants {
		t.Run(name, func(t *testing.T) {
			r := sagatest.Search(t, order{Cents: 500}, func(w *sagatest.World) *saga.Def[order] {
				s := newShop(w, "")
				return mutate(s, s.nodes())
			}, sagatest.Schema(schema))
			require.Contains(t, r.Bugs(), name, "the report:\n%s", r)
			found++
			i := slices.IndexFunc(r.Findings, func(f sagatest.Found) bool { return f.Bug == name })
			t.Logf("%s\n  schedule: %s", r.Findings[i].Finding, r.Findings[i].Schedule)
		})
	}
	t.Logf("found %d of %d", found, len(mutants))
}
