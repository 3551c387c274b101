package sagatest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

type basket struct {
	Pets  []string
	Cents int
	Paid  string
}

// parts is a saga with an each and a child; steps of them call participants under their own keys.
func parts(w *sagatest.World, forget bool) *saga.Def[basket] {
	stock, bank := w.Participant("stock"), w.Participant("bank")
	reserve := saga.Step("reserve", func(c saga.Ctx, pet string) (string, error) { return pet + "!", stock.Do(c, c.Key()) }).
		Undo(func(c saga.Ctx, _ string, _ string) error {
			if forget && strings.HasPrefix(c.Step(), "pets[1]") {
				return nil
			}
			return stock.Undo(c, c.Key())
		}).
		Into(func(pet *string, r string) { *pet = r })
	charge := saga.Step("charge", func(c saga.Ctx, cents int) (int, error) { return cents, bank.Do(c, c.Key()) }).
		Undo(func(c saga.Ctx, _ int, _ int) error { return bank.Undo(c, c.Key()) })
	return saga.Define("basket", 1,
		saga.Each("pets", func(b basket) []string { return b.Pets }, reserve).
			Into(func(b *basket, pets []string) { b.Pets = pets }),
		saga.Child("payment", saga.Define("payment", 1, charge), func(b basket) int { return b.Cents }),
		saga.Pivot("send", func(c saga.Ctx, b basket) (saga.None, error) {
			if strings.Join(b.Pets, " ") != "cat! dog!" {
				return saga.None{}, saga.Reject("the basket holds %v", b.Pets)
			}
			return saga.None{}, bank.Do(c, c.Key())
		}))
}

var twoPets = basket{Pets: []string{"cat", "dog"}, Cents: 100}

func TestExploreFindsNothingInASoundEachAndChild(t *testing.T) {
	r := sagatest.Explore(t, twoPets, func(w *sagatest.World) *saga.Def[basket] { return parts(w, false) })
	require.Greater(t, r.Schedules, 300)
	require.Positive(t, r.Undos["pets[]/reserve"].Reached, "the undo audit knows the steps of items")
	require.Positive(t, r.Undos["payment/charge"].Reached)
}

func TestExploreFindsTheItemThatIsNotTakenBack(t *testing.T) {
	r := sagatest.Search(t, twoPets, func(w *sagatest.World) *saga.Def[basket] { return parts(w, true) })
	require.NotEmpty(t, r.Findings)
	require.Equal(t, "pets[1]/reserve", r.Findings[0].Step, "the report:\n%s", r)
}
