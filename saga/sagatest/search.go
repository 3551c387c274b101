package sagatest

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
)

// search collects the ids that pages of two find.
func (f *fixture) search(q saga.SearchQuery) []string {
	f.Helper()
	out := []string{}
	for q.Limit = 2; ; {
		page, err := f.store.Search(f.Context(), q)
		require.NoError(f, err)
		if len(page) == 0 {
			return out
		}
		require.LessOrEqual(f, len(page), 2)
		for _, found := range page {
			out = append(out, string(found.Ref.ID))
		}
		last := page[len(page)-1].Ref
		q.Below, q.AfterID = last.UID, last.ID
	}
}

func (f *fixture) searches() {
	l, lanes := f.join("one")
	since := time.UnixMicro(1_700_000_000_000_007).UTC()
	var all []saga.Write
	for i := range 7 {
		w := f.newSaga(fmt.Sprint("o", i), lanes[i%len(lanes)])
		w.Ref.UID[6] = byte(0x70 + i) // of one millisecond, and in order
		w.Attributes = []saga.Attribute{{Name: "customer", Value: fmt.Sprint("c", i%2)}, {Name: "colour", Value: "c0"}}
		all = append(all, w)
		f.append(l, w)
		f.append(l, w) // after a lost reply
	}
	park := f.then(all[2])
	park.Standing, park.Sleep = &saga.Standing{State: saga.StateParked, Step: "pay", Reason: "no bank", Since: since}, saga.Forever
	back := f.then(all[4])
	back.Standing = &saga.Standing{State: saga.StateCompensating, Since: since}
	f.append(l, park, back)
	end := f.then(all[4], saga.Record{Seq: 2, Kind: saga.Ended, At: since, End: saga.Compensated})
	end.End, end.Standing = true, &saga.Standing{State: saga.State(saga.Compensated), Since: since}
	f.append(l, end)

	newest := []string{"o6", "o5", "o4", "o3", "o2", "o1", "o0"}
	require.Equal(f, newest, f.search(saga.SearchQuery{}))
	require.Equal(f, []string{"o6", "o5", "o3", "o2", "o1", "o0"}, f.search(saga.SearchQuery{From: saga.FromLive}))
	require.Equal(f, []string{"o2"}, f.search(saga.SearchQuery{From: saga.FromState, State: saga.StateParked}))
	require.Empty(f, f.search(saga.SearchQuery{From: saga.FromState, State: saga.StateCompensating}))
	require.Equal(f, []string{"o4"}, f.search(saga.SearchQuery{From: saga.FromState, State: saga.State(saga.Compensated)}))
	c0 := saga.SearchQuery{From: saga.FromAttribute, Attribute: saga.Attribute{Name: "customer", Value: "c0"}}
	require.Equal(f, []string{"o6", "o4", "o2", "o0"}, f.search(c0))
	c0.Above = all[2].Ref.UID
	require.Equal(f, []string{"o6", "o4"}, f.search(c0))
	require.Equal(f, []string{"o2", "o1", "o0"}, f.search(saga.SearchQuery{Below: all[3].Ref.UID}))

	page, err := f.store.Search(f.Context(), saga.SearchQuery{From: saga.FromState, State: saga.StateParked, Limit: 9})
	require.NoError(f, err)
	require.Equal(f, []saga.Found{{
		Ref: all[2].Ref, Live: true, WakesAt: saga.Forever, Standing: *park.Standing,
		Attributes: []saga.Attribute{{Name: "colour", Value: "c0"}, {Name: "customer", Value: "c0"}},
	}}, page)
	again := f.then(all[2])
	again.Standing, again.Wake = &saga.Standing{}, true
	f.append(l, again)
	require.Empty(f, f.search(saga.SearchQuery{From: saga.FromState, State: saga.StateParked}))
}

func (f *fixture) searchesByID() {
	l, lanes := f.join("one")
	for i, id := range []string{"a", "order", "order-1", "order-10", "order-2", "Order-1", "orderé", "orderz", "p"} {
		f.append(l, f.newSaga(id, lanes[i%len(lanes)]))
	}
	require.Equal(f, []string{"order", "order-1", "order-10", "order-2", "orderz", "orderé"},
		f.search(saga.SearchQuery{From: saga.FromIDs, Prefix: "order"}))
	require.Equal(f, []string{"order-1", "order-10", "order-2"}, f.search(saga.SearchQuery{From: saga.FromIDs, Prefix: "order-"}))
	require.Contains(f, f.search(saga.SearchQuery{From: saga.FromIDs, Prefix: "orderé"}), "orderé")
	require.Empty(f, f.search(saga.SearchQuery{From: saga.FromIDs, Prefix: "zebra"}))
	require.Len(f, f.search(saga.SearchQuery{From: saga.FromIDs}), 9)
}

func (f *fixture) factsAndForks() {
	l, lanes := f.join("one")
	source := f.newSaga("source", lanes[0])
	source.Attributes = []saga.Attribute{{Name: "n", Value: "v"}}
	f.append(l, source)
	fork := func(id string, owns bool) error {
		w := f.newSaga(id, saga.Lane{Kind: f.kind})
		w.From = &saga.ForkedFrom{Saga: source.Ref.UID, Owns: owns}
		return f.store.DB().InTx(f.Context(), func(ctx context.Context, tx data.Tx) error { return f.store.Create(ctx, tx, w) })
	}
	require.NoError(f, fork("free", false))
	require.NoError(f, fork("owner", true))
	require.ErrorIs(f, fork("thief", true), saga.ErrForked)
	require.NoError(f, fork("free again", false))
	require.NoError(f, f.store.Post(f.Context(), f.store.DB(), saga.Mail{Saga: source.Ref.UID, Kind: saga.MailSignal, Name: "go"}))
	facts, err := f.store.Facts(f.Context(), source.Ref.UID)
	require.NoError(f, err)
	require.ElementsMatch(f, []saga.ID{"free", "owner", "free again"}, facts.Forks)
	require.Empty(f, facts.From)
	require.Len(f, facts.Mail, 1)
	require.Equal(f, source.Attributes, facts.Attributes)
	require.True(f, facts.Live)
	ref, err := f.store.Lookup(f.Context(), "owner")
	require.NoError(f, err)
	facts, err = f.store.Facts(f.Context(), ref.UID)
	require.NoError(f, err)
	require.Equal(f, saga.ID("source"), facts.From)
	_, err = f.store.Lookup(f.Context(), "thief")
	require.ErrorIs(f, err, saga.ErrNotFound)
	_, err = f.store.Facts(f.Context(), saga.UID(uuidv7.New()))
	require.ErrorIs(f, err, saga.ErrNotFound)
}

// A journal that is damaged in the middle still tells how it ends.
func (f *fixture) endOfADamagedJournal() {
	l, lanes := f.join("one")
	w := f.newSaga("o1", lanes[0])
	f.append(l, w)
	f.append(l, f.then(w, done(2, "a"), saga.Record{Seq: 3, Kind: saga.Terminated, Actor: "ann", At: done(2, "").At, End: saga.TerminatedByHand}))
	load := func() saga.History {
		h, err := f.store.Load(f.Context(), []saga.UID{w.Ref.UID})
		require.NoError(f, err)
		return h[0]
	}
	require.Equal(f, saga.Terminated, load().Last.Kind)
	if m, ok := f.store.(*memory); ok {
		m.sagas[w.Ref.UID].rows[1].body = []byte("{")
	} else {
		_, err := f.store.DB().Exec(f.Context(), `update saga_journal set body = '{' where seq = 2`)
		require.NoError(f, err)
	}
	h := load()
	require.Error(f, h.Err)
	require.Len(f, h.Records, 1)
	require.Equal(f, "ann", h.Last.Actor)
	require.EqualValues(f, 3, h.Last.Seq)
}
