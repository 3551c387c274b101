package saga_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data/datatest"
	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagasqlite"
)

type marked struct{}

// Around sees every attempt in both directions, may exchange its context, and decides its outcome.
func TestAroundWrapsEveryAttempt(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	around := func(c saga.Ctx, attempt func(saga.Ctx) error) error {
		mu.Lock()
		seen = append(seen, c.Step()+"/"+string(c.Direction()))
		mu.Unlock()
		c.Context = context.WithValue(c.Context, marked{}, true)
		err := attempt(c)
		if c.Step() == "second" {
			return errors.Join(err, saga.Reject("not that one"))
		}
		return err
	}
	first := saga.Step("first", func(c saga.Ctx, _ trip) (string, error) {
		if c.Value(marked{}) == nil {
			return "", errors.New("the context is not the exchanged one")
		}
		return "r", nil
	}).Undo(func(_ saga.Ctx, _ trip, r string) error {
		if r != "r" {
			return errors.New("the result is lost")
		}
		return nil
	})
	second := saga.Step("second", func(saga.Ctx, trip) (saga.None, error) { return saga.None{}, nil })
	def := saga.Define("around", 1, first, second)
	store, err := sagasqlite.New(t.Context(), datatest.SQLite(t))
	require.NoError(t, err)
	e, _ := engine(t, saga.Config{Around: around}, store, def)
	run, err := def.Start(t.Context(), e, "a1", trip{})
	require.NoError(t, err)
	_, err = run.Result(t.Context())
	require.ErrorAs(t, err, new(*saga.CompensatedError))
	require.Equal(t, []string{"first/do", "second/do", "first/undo"}, seen)

	tree := def.Tree()
	require.Equal(t, []string{"first", "second"}, []string{tree[0].Name, tree[1].Name})
	require.True(t, tree[0].Undoable && tree[0].HasResult && !tree[0].Folded && tree[0].Carried())
	require.False(t, tree[1].Undoable || tree[1].HasResult)
}
