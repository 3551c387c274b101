package faulttest_test

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

// history merges what the sources know of some sagas, for [sagatest.Check]. A record was durable at the latest when a
// participant that was asked saw it in the journal; that time is the ledger's own, which no clock of a worker can falsify.
func (r *rig) history(sagas []start) (h sagatest.History) {
	r.t.Helper()
	ctx := context.WithoutCancel(r.t.Context())
	zero := r.ledger.began.UnixNano()
	seen := map[string]int64{}
	for _, e := range r.ledger.of("") {
		if !slices.ContainsFunc(sagas, func(s start) bool { return s.ID == e.Saga }) {
			continue
		}
		at := zero + int64(e.At)
		effect := sagatest.Effect{Seq: int64(len(h.Effects) + 1), Saga: e.Saga, Step: e.Step, Undo: e.Dir == string(saga.Undo), Key: e.Key, Attempt: e.Attempt, At: at}
		if effect.Effect = e.Effect; e.Effect == "failed" {
			effect.Effect = sagatest.Reached
		}
		h.Effects = append(h.Effects, effect)
		for i, nodes := range [][]string{e.Done, e.Undone} {
			for _, n := range nodes {
				if n == "nap" || n == "knock" { // waits end by the engine's clock, and are compared with that
					continue
				}
				k := e.Saga + "/" + n + []string{"/do", "/undo"}[i]
				if _, ok := seen[k]; !ok {
					seen[k] = at - 1
				}
			}
		}
	}
	for _, s := range sagas {
		ref, err := r.store.Lookup(ctx, saga.ID(s.ID))
		require.NoError(r.t, err)
		journals, err := r.store.Load(ctx, []saga.UID{ref.UID})
		require.NoError(r.t, err)
		entries := sagatest.JournalOf(journals...)
		rows, err := r.db.Query(ctx, `select seq, epoch from saga_journal where uid = $1 order by seq`, uidArg(r.db, ref.UID))
		require.NoError(r.t, err)
		for i := 0; rows.Next(); i++ {
			var seq, epoch int64
			require.NoError(r.t, rows.Scan(&seq, &epoch))
			entries[i].Epoch = epoch
		}
		require.NoError(r.t, rows.Err())
		for i := range entries {
			e := &entries[i]
			if at, ok := seen[e.Saga+"/"+e.Step+map[bool]string{true: "/undo", false: "/do"}[e.Undo]]; ok && e.Kind == saga.Done.String() {
				e.At = min(e.At, at)
			}
		}
		h.Journal = append(h.Journal, entries...)
	}
	for _, e := range r.ledger.all() {
		at := zero + int64(e.At)
		switch e.Ev {
		case "started":
			h.Client = append(h.Client, sagatest.ClientOp{Op: "start", Key: e.Saga, Saga: e.Saga, Inv: at, Ret: at, Out: sagatest.OK})
		case "start-unknown":
			h.Client = append(h.Client, sagatest.ClientOp{Op: "start", Key: e.Saga, Inv: at, Ret: at, Out: sagatest.Unknown})
		case "kill", "stop", "cont", "cut":
			h.Workers = append(h.Workers, sagatest.WorkerEvent{Worker: e.Worker, Event: e.Ev, At: at})
		case "ready":
			h.Workers = append(h.Workers, sagatest.WorkerEvent{Worker: e.Worker, Event: "start", At: at})
		case "fenced":
			h.Workers = append(h.Workers, sagatest.WorkerEvent{Worker: e.Worker, Event: "lost", At: at})
		}
	}
	return h
}

// judge checks the properties that can be told from a history alone.
func (r *rig) judge(sagas []start) sagatest.Verdict {
	r.t.Helper()
	v := sagatest.Check(r.history(sagas), define(nil))
	require.Empty(r.t, v.Violations, "%s", v)
	require.Empty(r.t, v.Vacuous("SAFE-1", "SAFE-2", "SAFE-3", "SAFE-4", "SAFE-5", "SAFE-6", "SAFE-7", "SAFE-8", "SAFE-9", "SAFE-11", "SAFE-12", "SAFE-13"))
	return v
}
