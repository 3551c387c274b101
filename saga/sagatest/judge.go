package sagatest

import (
	"fmt"
	"slices"

	"github.com/marty-framework/mmf/saga"
)

// Finding is a bug of a saga, as one schedule shows it.
type Finding struct {
	// Bug names it: one of the names that [Explore] lists, or that of an invariant.
	Bug string
	// Property is the promise that is broken: SAFE-1, LIVE-1, invariant.
	Property string
	Step     string
	Detail   string
}

// String is the finding on one line.
func (f Finding) String() string {
	if f.Step == "" {
		return fmt.Sprintf("%s (%s): %s", f.Bug, f.Property, f.Detail)
	}
	return fmt.Sprintf("%s of %q (%s): %s", f.Bug, f.Step, f.Property, f.Detail)
}

// judge looks at everything that the run left.
func (r *run) judge() {
	ref, err := r.store.Lookup(r.ctx, sagaID)
	if err != nil {
		return
	}
	histories, err := r.store.Load(r.ctx, []saga.UID{ref.UID})
	if err != nil || len(histories) == 0 || histories[0].Err != nil {
		r.found(Finding{Bug: "unreadable-journal", Property: "SAFE-13", Detail: fmt.Sprint(err, histories)})
		return
	}
	r.leftovers(histories[0].Records)
	h := History{Journal: JournalOf(histories...), Effects: r.effects}
	for i, j := range h.Journal {
		h.Journal[i].At, h.Journal[i].Due = r.stamps[j.Seq], 0 // the order in which it became durable, on the ledger's clock
	}
	for _, v := range Check(h, r.def).Violations {
		switch v.Property {
		case "SAFE-20", "LIVE-1", "LIVE-5", "LIVE-7": // faults repeat attempts; how it ended was looked at before
			continue
		case "SAFE-6", "SAFE-9":
			if r.explained(v.Step) {
				continue
			}
		case "SAFE-2", "SAFE-8", "SAFE-5":
			if r.explained(v.Step) {
				continue // a consequence
			}
		}
		r.found(Finding{Bug: bugOf(v), Property: v.Property, Step: v.Step, Detail: v.Detail})
	}
	if err := r.def.Recheck(r.opened(ref.ID, histories[0].Records)); err != nil {
		r.found(Finding{Bug: "nondeterministic", Property: "SAFE-14", Detail: err.Error()})
	}
	if len(r.schedule) == 0 && !r.opts.mayFail && r.outcome != saga.Completed {
		r.found(Finding{
			Bug: "does-not-complete", Property: "LIVE-1",
			Detail: fmt.Sprintf("without any fault the saga ends %q; see MayFail if that is meant", r.outcome),
		})
	}
	r.unfolded()
}

func (r *run) explained(step string) bool {
	return slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Step == step })
}

// bugOf names what makes a saga violate a property.
func bugOf(v Violation) string {
	undo := len(v.Detail) >= 8 && v.Detail[:8] == "the undo"
	switch {
	case (v.Property == "SAFE-1" || v.Property == "SAFE-2") && undo: // under another key nobody can recognise the repetition
		return "undo-not-idempotent"
	case v.Property == "SAFE-1":
		return "unkeyed-call"
	case v.Property == "SAFE-2":
		return "unstable-key"
	case v.Property == "SAFE-4":
		return "undo-out-of-order"
	case v.Property == "SAFE-5":
		return "undo-of-nothing"
	case v.Property == "SAFE-6", v.Property == "SAFE-9":
		return "mixed-ending"
	case v.Property == "SAFE-7":
		return "late-effect"
	case v.Property == "SAFE-8":
		return "effect-after-end"
	}
	return "engine-" + v.Property
}

// leftovers are effects that stand although the saga was compensated, and those that are missing although it completed.
func (r *run) leftovers(records []saga.Record) {
	owner := map[string]string{}
	for _, e := range r.effects {
		if e.Undo {
			continue
		}
		id := e.Participant + "\x00" + e.Key
		if step, other := owner[id]; other && step != e.Step {
			detail := fmt.Sprintf("it calls %s under a key of %q", e.Participant, step)
			r.found(Finding{Bug: "shared-key", Property: "SAFE-2", Step: e.Step, Detail: detail})
		}
		owner[id] = e.Step
	}
	if r.outcome != saga.Compensated {
		return
	}
	for _, e := range r.effects {
		s := r.ledger[e.Participant+"/"+e.Step]
		if e.Undo || e.Effect != Applied || s.undone > 0 {
			continue
		}
		f := Finding{Bug: "undo-keeps-effect", Property: "SAFE-9", Step: e.Step}
		f.Detail = "its effect at " + e.Participant + " stands although the saga was compensated"
		n := declared(r.nodes, e.Step)
		status := statusOf(records, e.Step)
		switch {
		case n.Kind == "tx-step" && !status.done:
			f.Bug, f.Detail = "effect-outside-transaction", "the transaction rolled back and its effect at "+e.Participant+" stands"
		case status.rejected && !status.failed:
			f.Bug, f.Detail = "effect-before-reject", "it was rejected, which says that nothing happened, and its effect at "+e.Participant+" stands"
		case !n.Undoable:
			f.Bug, f.Detail = "missing-undo", "it has no Undo, and its effect at "+e.Participant+" stands although the saga was compensated"
		case status.undone && !status.done:
			f.Bug = "undo-skips-unknown"
			f.Detail = "its undo succeeded without taking the effect at " + e.Participant + " back when the step's outcome was not known"
		}
		r.found(f)
	}
}

type stepStatus struct{ done, rejected, failed, undone bool }

func statusOf(records []saga.Record, step string) (s stepStatus) {
	for _, rec := range records {
		if rec.Node != step {
			continue
		}
		switch {
		case rec.Kind == saga.Done && rec.Undo:
			s.undone = true
		case rec.Kind == saga.Done:
			s.done = true
		case rec.Kind == saga.Rejected:
			s.rejected = true
		case rec.Kind == saga.Failed && !rec.Undo:
			s.failed = true
		}
	}
	return s
}

// unfolded blames a result that nobody takes in for what goes wrong without any fault.
func (r *run) unfolded() {
	if len(r.schedule) > 0 || len(r.findings) == 0 {
		return
	}
	for _, a := range r.attempts {
		if n := declared(r.nodes, a.step); n.HasResult && !n.Folded && a.err == nil && !a.undo {
			cause := r.findings[0]
			r.findings = []Finding{{
				Bug: "forgotten-into", Property: cause.Property, Step: a.step,
				Detail: "its result goes nowhere because it has no Into; without any fault: " + cause.String(),
			}}
			return
		}
	}
}
