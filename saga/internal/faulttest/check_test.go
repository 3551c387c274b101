package faulttest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

// outcomes that the classes have without faults.
var outcomes = map[string]saga.Outcome{"go": saga.Completed, "back": saga.Compensated}

// examine returns every violation of what is promised for one saga that was to end as its class does.
func examine(ctx context.Context, store saga.Store, db data.DB, l *ledger, id, class string) (bad []string) {
	complain := func(format string, args ...any) { bad = append(bad, id+": "+fmt.Sprintf(format, args...)) }
	ref, err := store.Lookup(ctx, saga.ID(id))
	if err != nil {
		complain("SAFE-11: %v", err)
		return bad
	}
	h, err := store.Load(ctx, []saga.UID{ref.UID})
	if err != nil {
		complain("%v", err)
		return bad
	}
	records := h[0].Records
	recorded := map[string]int{} // done or taken back
	for i, r := range records {
		if r.Seq != int64(i+1) {
			complain("SAFE-13: record %d has number %d", i+1, r.Seq)
		}
		if (r.End != "") != (i == len(records)-1) {
			complain("SAFE-8: record %d of %d: end %q", r.Seq, len(records), r.End)
		}
		if r.Kind == saga.Done {
			recorded[fmt.Sprint(r.Node, "/", r.Undo)]++
		}
	}
	end := records[len(records)-1].End
	if end != outcomes[class] {
		complain("SAFE-14: ended %q, without faults %q", end, outcomes[class])
	}
	for what, n := range recorded {
		if n > 1 {
			complain("%s is recorded as done %d times", what, n)
		}
	}
	var back int
	q := `select count(*) from (select epoch < lag(epoch) over (order by seq) as back from saga_journal where uid = $1) j where back`
	if err := db.QueryRow(ctx, q, uidArg(db, ref.UID)).Scan(&back); err != nil || back > 0 {
		complain("SAFE-12: epochs go back %d times: %v", back, err)
	}
	bad = append(bad, examineLedger(l.of(id), id, end)...)
	bad = append(bad, examineBooked(ctx, db, id, end)...)
	return bad
}

func uidArg(db data.DB, u saga.UID) any {
	if db.Dialect() == data.Postgres {
		return [16]byte(u)
	}
	return u[:]
}

func examineBooked(ctx context.Context, db data.DB, id string, end saga.Outcome) []string {
	var n, sum int
	err := db.QueryRow(ctx, `select count(*), coalesce(sum(sign(amount)), 0) from booked where saga = $1`, id).Scan(&n, &sum)
	want := 1
	if end == saga.Compensated {
		want = 2
	}
	if err != nil || n != want || sum != 2-want {
		return []string{fmt.Sprintf("%s: SAFE-1: the transactional step left %d rows with sum %d, want %d: %v", id, n, sum, want, err)}
	}
	return nil
}

func examineLedger(entries []entry, id string, end saga.Outcome) (bad []string) {
	complain := func(format string, args ...any) { bad = append(bad, id+": "+fmt.Sprintf(format, args...)) }
	keys, applied, refused, asked := map[string]string{}, map[string]int{}, map[string]bool{}, map[string]bool{}
	for _, e := range entries {
		what := e.Step + "/" + e.Dir
		if k, ok := keys[what]; ok && k != e.Key {
			complain("SAFE-2: %s has the keys %s and %s", what, k, e.Key)
		}
		keys[what] = e.Key
		if !strings.HasSuffix(e.Key, what) {
			complain("SAFE-2: key %s of %s", e.Key, what)
		}
		if e.Effect == "applied" {
			if applied[what]++; applied[what] > 1 {
				complain("SAFE-1: %s was applied %d times", what, applied[what])
			}
		}
		refused[what] = refused[what] || e.Effect == "rejected"
		undo := e.Dir == string(saga.Undo)
		if undo && !asked[e.Step+"/do"] {
			complain("SAFE-5: %s was taken back and never tried", e.Step)
		}
		if !undo && e.Effect == "applied" && applied[e.Step+"/undo"] > 0 {
			complain("SAFE-7: %s went forward after it was taken back", e.Step)
		}
		for _, earlier := range before[e.Step] {
			if !undo && !slices.Contains(e.Done, earlier) {
				complain("SAFE-3: %s began when %s was not recorded as done", e.Step, earlier)
			}
		}
		for _, later := range undoable {
			if undo && slices.Contains(before[later], e.Step) && !slices.Contains(e.Undone, later) {
				complain("SAFE-4: %s was taken back before %s", e.Step, later)
			}
		}
		asked[what] = true
	}
	for _, step := range forward {
		if step == "book" {
			continue
		}
		did, undid := applied[step+"/do"], applied[step+"/undo"]
		switch {
		case end == saga.Completed && (did != 1 || undid != 0):
			complain("SAFE-9: completed, and %s was applied %d times and taken back %d times", step, did, undid)
		case end == saga.Compensated && slices.Contains(undoable, step) && did > undid:
			complain("SAFE-6: compensated, and %s was never taken back", step)
		case end == saga.Compensated && !slices.Contains(undoable, step) && did > 0:
			complain("SAFE-9: compensated, and %s happened", step)
		}
	}
	return bad
}
