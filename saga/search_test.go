package saga_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

type dataTx = data.Tx

// LIVE-6: sagas are found by what they are and where they stand, and the same search does something to all of them.
func TestSearchAndBulk(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, store func() saga.Store) {
		def := saga.Define("trip", 1,
			saga.Retriable("a", func(_ saga.Ctx, t trip) (saga.None, error) {
				if t.Fail != "" {
					return saga.None{}, errors.New("broken")
				}
				return saga.None{}, nil
			}).Retry(saga.Retry{Max: 1})).
			Searchable(func(t trip) map[string]string { return map[string]string{"name": t.Name} })
		nap := saga.Define("nap", 1, saga.Sleep("nap", func(trip) time.Duration { return time.Hour }))
		e, _ := engine(t, saga.Config{}, store(), def, nap)
		for i := range 12 {
			in := trip{Name: fmt.Sprint("n", i%2)}
			if i%3 == 0 {
				in.Fail = "a"
			}
			run, err := def.Start(within(t), e, saga.ID(fmt.Sprint("t", i)), in)
			require.NoError(t, err)
			_, err = run.Result(within(t))
			require.Equal(t, in.Fail != "", err != nil)
		}
		_, err := nap.Start(within(t), e, "nap", trip{})
		require.NoError(t, err)
		find := func(f saga.Filter) (out []string) {
			for after := saga.Cursor(""); ; {
				page, err := e.Search(within(t), f, after, 3)
				require.NoError(t, err)
				require.LessOrEqual(t, len(page.Sagas), 3)
				for _, s := range page.Sagas {
					out = append(out, string(s.ID))
				}
				if after = page.Next; after == "" {
					return out
				}
			}
		}
		eventually(t, "sleeps", func() bool { return len(find(saga.Filter{State: saga.StateWaiting})) == 1 })
		require.Len(t, find(saga.Filter{}), 13)
		require.Len(t, find(saga.Filter{Saga: "trip", Version: 1}), 12)
		require.Empty(t, find(saga.Filter{Saga: "trip", Version: 2}))
		require.ElementsMatch(t, []string{"t0", "t3", "t6", "t9"}, find(saga.Filter{State: saga.StateParked}))
		require.ElementsMatch(t, []string{"t0", "t6"}, find(saga.Filter{State: saga.StateParked, Attributes: map[string]string{"name": "n0"}}))
		require.Len(t, find(saga.Filter{State: "completed"}), 8)
		require.Len(t, find(saga.Filter{State: saga.StateLive}), 5)
		require.Len(t, find(saga.Filter{State: saga.StateEnded}), 8)
		require.Equal(t, []string{"t1", "t10", "t11"}, find(saga.Filter{IDPrefix: "t1"}))
		require.Empty(t, find(saga.Filter{Before: time.Now().Add(-time.Hour)}))
		require.Len(t, find(saga.Filter{After: time.Now().Add(-time.Hour), Attributes: map[string]string{"name": "n1"}}), 6)
		_, err = e.Search(within(t), saga.Filter{State: "confused"}, "", 0)
		require.ErrorContains(t, err, "confused")
		_, err = e.Search(within(t), saga.Filter{}, "nonsense", 0)
		require.ErrorContains(t, err, "cursor")
		page, err := e.Search(within(t), saga.Filter{IDPrefix: "t0"}, "", 0)
		require.NoError(t, err)
		require.Equal(t, "a", page.Sagas[0].Step)
		require.Equal(t, "broken", page.Sagas[0].Reason)
		require.WithinDuration(t, time.Now(), page.Sagas[0].Started, time.Minute)

		parked := saga.Filter{State: saga.StateParked}
		skip := saga.Verb{Do: saga.VerbSkip, Step: "a"}
		report, err := e.Bulk(within(t), parked, skip, ann, saga.BulkOptions{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, saga.BulkReport{Matched: 4, Applied: 4}, report)
		report, err = e.Bulk(within(t), parked, skip, ann, saga.BulkOptions{Limit: 3, Key: "k", Wait: time.Minute})
		require.NoError(t, err)
		require.Equal(t, 3, report.Applied)
		require.NotEmpty(t, report.Next)
		report, err = e.Bulk(within(t), parked, skip, ann, saga.BulkOptions{After: report.Next, Key: "k", Wait: time.Minute})
		require.NoError(t, err)
		require.Equal(t, saga.BulkReport{Matched: 1, Applied: 1}, report)
		require.Empty(t, find(parked))
		report, err = e.Bulk(within(t), saga.Filter{IDPrefix: "t1"}, saga.Verb{Do: saga.VerbPause}, ann, saga.BulkOptions{})
		require.NoError(t, err)
		require.Equal(t, 3, report.Refused)
		require.ErrorIs(t, report.Failures[0].Err, saga.ErrFinished)
		_, err = def.Start(within(t), e, "long", trip{Name: strings.Repeat("x", 201)})
		require.ErrorIs(t, err, saga.ErrTooLarge)
	})
}
