package saga_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// Operators name the steps of items and children by their paths.
func TestVerbsForStepsOfItemsAndChildren(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l := &log{}
		pay := saga.Define("pay", 1, saga.Pivot("charge", func(saga.Ctx, payment) (string, error) { return "", errors.New("no bank") }).
			Into(func(p *payment, r string) { p.Ref = r }).Retry(saga.Retry{Max: 1}))
		send := saga.Step("send", func(_ saga.Ctx, p parcel) (string, error) { return p.To + " sent", nil }).
			Undo(func(c saga.Ctx, _ parcel, _ string) error { l.add("undo %s", c.Step()); return nil }).
			Into(func(p *parcel, r string) { p.Label = r })
		each := saga.Each("ship", func(c cargo) []parcel { return c.Parcels }, send).
			Into(func(c *cargo, items []parcel) {
				for _, p := range items {
					c.Labels = append(c.Labels, p.Label)
				}
			})
		child := saga.Child("pay", pay, func(cargo) payment { return payment{} }).
			Into(func(c *cargo, p payment) { c.Labels = append(c.Labels, p.Ref) })
		hand := saga.Each("hand", func(c cargo) []parcel { return c.Parcels },
			saga.Retriable("over", func(_ saga.Ctx, p parcel) (string, error) {
				if p.To == "Bonn" {
					return "", errors.New("nobody is there")
				}
				return p.To, nil
			}).Into(func(p *parcel, r string) { p.Label = r }).Retry(saga.Retry{Max: 1})).
			Into(func(c *cargo, items []parcel) {
				for _, p := range items {
					c.Labels = append(c.Labels, p.Label)
				}
			})
		def := saga.Define("cargo", 1, each, child, hand)
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", cargo{Parcels: parcels("Ulm", "Bonn")})
		require.NoError(t, err)
		parks(t, e, "t1")
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "ship[]/send"}), saga.ErrUnknownStep)
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "ship[2]/send"}), saga.ErrUnknownStep)
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "ship[0]"}), saga.ErrNotApplicable)
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "ship"}), saga.ErrNotApplicable)
		require.ErrorIs(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "ship[1]/send"}), saga.ErrNotApplicable)
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbResolve, Step: "pay/charge", Result: json.RawMessage(`"R-1"`)}))
		eventually(t, "parks at the second each", func() bool {
			st, err := e.Status(t.Context(), "t1")
			return err == nil && st.State == saga.StateParked && st.Step == "hand[1]/over"
		})
		require.NoError(t, intervene(t, e, "t1", saga.Verb{Do: saga.VerbSkip, Step: "hand[1]/over"}))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.Equal(t, []string{"Ulm sent", "Bonn sent", "R-1", "Ulm", ""}, out.Labels)
		require.Equal(t, []string{"resolved pay/charge", "skipped hand[1]/over"}, audit(t, e, "t1"))

		for _, inside := range []string{"ship[1]/send", "pay/charge", "hand[0]/over"} {
			err := e.Fork(within(t), "t1", saga.ID("fork-"+inside[:4]), inside, ann)
			require.ErrorIs(t, err, saga.ErrNotApplicable, inside)
			t.Log(err)
		}
	})
}
