package saga_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
)

// What a step fails with is whatever a network gave it. PostgreSQL takes neither NUL nor anything but UTF-8 in a text, and a
// record that it refuses would be tried for ever.
func TestReasonsThatAreNoText(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		reasons := map[saga.ID]string{"nul": "bad\x00reply", "latin1": "caf\xe9", "cut": strings.Repeat("ü", 3000), "cut-odd": "x" + strings.Repeat("€", 3000)}
		fails := saga.Step("fails", func(c saga.Ctx, t trip) (saga.None, error) { return saga.None{}, errors.New(t.Fail) }).Retry(saga.Retry{Max: 1})
		refuses := saga.Step("refuses", func(c saga.Ctx, t trip) (saga.None, error) { return saga.None{}, saga.Reject("%s", t.Fail) })
		stuck := saga.Retriable("stuck", func(c saga.Ctx, t trip) (saga.None, error) { return saga.None{}, errors.New(t.Fail) }).
			Retry(saga.Retry{Max: 1})
		l := &log{}
		defs := []*saga.Def[trip]{
			saga.Define("fails", 1, stop(l, "a"), fails), saga.Define("refuses", 1, stop(l, "a"), refuses), saga.Define("stuck", 1, stop(l, "a"), stuck),
		}
		e, _ := engine(t, saga.Config{}, store(), defs[0], defs[1], defs[2])
		for id, reason := range reasons {
			for i, def := range defs {
				run, err := def.Start(within(t), e, saga.ID(string(id)+string(rune('0'+i))), trip{Fail: reason})
				require.NoError(t, err)
				_, err = run.Result(within(t))
				if i == 2 {
					require.ErrorAs(t, err, new(*saga.ParkedError), "%s", id)
				} else {
					require.ErrorAs(t, err, new(*saga.CompensatedError), "%s", id)
				}
			}
		}
	})
}

// A payload that a step took over from somebody may be valid JSON and yet no UTF-8. What stands in the journal is what JSON's
// readers make of it.
func TestPayloadsThatAreNoText(t *testing.T) {
	t.Parallel()
	type doc struct{ Raw json.RawMessage }
	bad := json.RawMessage("\"caf\xe9\"")
	sig := saga.NewSignal[doc]("sig")
	stores(t, func(t *testing.T, store func() saga.Store) {
		step := saga.Step("take", func(saga.Ctx, doc) (doc, error) { return doc{bad}, nil }).Into(func(d *doc, r doc) { *d = r })
		def := saga.Define("take", 1, step, saga.Await(sig, func(d *doc, r doc) error { *d = r; return nil }).Within(time.Hour))
		e, _ := engine(t, saga.Config{}, store(), def)
		run, err := def.Start(within(t), e, "t1", doc{bad})
		require.NoError(t, err)
		require.NoError(t, sig.Send(within(t), e, "t1", doc{bad}))
		out, err := run.Result(within(t))
		require.NoError(t, err)
		require.JSONEq(t, `"caf`+"\ufffd"+`"`, string(out.Raw))
	})
}

// Names that a database cannot hold are refused before it is asked, with every store.
func TestNamesThatAreNoText(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		l, line := &log{}, saga.NewQueue("line", saga.QueueConfig{})
		def := saga.Define("trip", 1, stop(l, "a")).Searchable(func(t trip) map[string]string {
			if t.Name == "" {
				return nil
			}
			return map[string]string{"name": t.Name}
		})
		e, _ := engine(t, saga.Config{Queues: []*saga.Queue{line}}, store(), def)
		for _, bad := range []string{"a\x00b", "caf\xe9"} {
			_, err := def.Start(within(t), e, saga.ID(bad), trip{})
			require.ErrorIs(t, err, saga.ErrInvalidID)
			require.ErrorIs(t, e.Fork(within(t), "t1", saga.ID(bad), "a", saga.By{Actor: "me", Reason: "test"}), saga.ErrInvalidID)
			_, err = def.Start(within(t), e, "t1", trip{}, saga.In(line).Key(bad))
			require.ErrorIs(t, err, saga.ErrInvalidID)
			_, err = def.Start(within(t), e, "t1", trip{Name: bad})
			require.ErrorIs(t, err, saga.ErrInvalidID, "an attribute")
		}
		_, err := e.Status(within(t), "t1")
		require.ErrorIs(t, err, saga.ErrNotFound)
	})
}
