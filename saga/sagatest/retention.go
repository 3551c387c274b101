package sagatest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/internal/uuidv7"
	"github.com/marty-framework/mmf/saga"
)

// began returns an id as a saga has that started at t.
func began(t time.Time) saga.UID {
	id := uuidv7.New()
	ms := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return saga.UID(id)
}

func (f *fixture) forgetsTheOld() {
	keeper, ok := f.store.(saga.Keeper)
	if !ok {
		f.Skip("the store does not forget: it is no saga.Keeper")
	}
	l, lanes := f.join("one")
	start := func(id string, age time.Duration, end bool) saga.Write {
		w := f.newSaga(id, lanes[0])
		w.Ref.UID = began(time.Now().Add(-age))
		f.append(l, w)
		if end {
			last := done(2, "a")
			last.End = saga.Completed
			next := f.then(w, last)
			next.End = true
			f.append(l, next)
		}
		return w
	}
	const day = 24 * time.Hour
	oldAndDone, oldAndLive := start("done", 40*day, true), start("live", 41*day, false)
	fresh := start("fresh", 20*day, true)
	for i := range 20 {
		start(fmt.Sprint("more", i), 50*day, true)
	}
	none, err := keeper.Upkeep(f.Context(), 0, saga.UID{})
	require.NoError(f, err)
	require.Zero(f, none.Sagas, "zero keeps for ever")
	require.Len(f, f.records(oldAndDone.Ref.UID), 2)
	purged, err := keeper.Upkeep(f.Context(), 30*day, saga.UID{})
	require.NoError(f, err)
	require.Equal(f, 21, purged.Sagas)
	require.False(f, purged.More)

	_, err = f.store.Lookup(f.Context(), "done")
	require.ErrorIs(f, err, saga.ErrNotFound)
	require.Empty(f, f.records(oldAndDone.Ref.UID))
	require.Len(f, f.records(fresh.Ref.UID), 2, "not old enough")
	ref, err := f.store.Lookup(f.Context(), "live")
	require.NoError(f, err)
	require.Equal(f, oldAndLive.Ref, ref, "it lives")
	require.Equal(f, []error{nil}, f.append(l, f.then(oldAndLive, done(2, "a"))), "and goes on")
	require.Len(f, f.records(oldAndLive.Ref.UID), 2)
	again := f.newSaga("done", lanes[0])
	require.Equal(f, []error{nil}, f.append(l, again), "a forgotten id is free")
}
