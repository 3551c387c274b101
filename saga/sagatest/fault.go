package sagatest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/marty-framework/mmf/saga"
)

// Kind is a kind of fault.
type Kind string

// The faults that [Explore] makes. Those at an attempt stand at "step/do" or "step/undo", those at a record at "step/do=done" and the
// like, those at a message at "event:type/step/do", those at a signal at "signal:name".
const (
	// CrashBefore kills the process when the attempt begins.
	CrashBefore Kind = "crash-before"
	// CrashAfter kills the process when the attempt has had its effect and has not returned. A transaction rolls back.
	CrashAfter Kind = "crash-after"
	// Reject refuses: the step is not carried out.
	Reject Kind = "reject"
	// FailOnce fails the attempt before it has an effect; the next one may succeed.
	FailOnce Kind = "fail"
	// LostReply fails the attempt after it had its effect; the next one may succeed.
	LostReply Kind = "lost-reply"
	// Unknowable fails every attempt before it has an effect, so that the outcome is unknown and there is nothing to take back.
	Unknowable Kind = "unknown"
	// UnknownEffect fails every attempt, the first one after it had its effect.
	UnknownEffect Kind = "unknown-effect"
	// LateEffect lets the attempt time out; its effect comes while the step is tried again.
	LateEffect Kind = "late-effect"
	// LateAfterUndo lets every attempt time out; the effect of the first comes when the step has been taken back.
	LateAfterUndo Kind = "late-after-undo"
	// Twice delivers the attempt twice, under the same key.
	Twice Kind = "twice"
	// Slow lets a step of a parallel group take longer than its siblings.
	Slow Kind = "slow"
	// Stuck fails every attempt of a compensation until the saga parks and somebody asks to try again.
	Stuck Kind = "stuck"

	// CrashBeforeRecord kills the process when it writes the record, CrashAfterRecord as soon as it is written.
	CrashBeforeRecord Kind = "crash-before-record"
	CrashAfterRecord  Kind = "crash-after-record"
	// LostCommit writes the record and loses the reply.
	LostCommit Kind = "lost-commit"
	// StoreDown refuses to write once.
	StoreDown Kind = "store-down"
	// Cancel asks for compensation when the record is written.
	Cancel Kind = "cancel"

	// EventTwice delivers a message twice, SlowEvent after it was sent again, LateEvent after the step was given up.
	EventTwice Kind = "event-twice"
	SlowEvent  Kind = "event-slow"
	LateEvent  Kind = "event-late"

	// SignalEarly sends a signal before anybody waits for it, SignalLate after its deadline, SignalTwice twice; NoSignal never.
	SignalEarly Kind = "signal-early"
	SignalLate  Kind = "signal-late"
	SignalTwice Kind = "signal-twice"
	NoSignal    Kind = "no-signal"
)

var (
	atStep   = []Kind{FailOnce, LostReply, Unknowable, UnknownEffect, LateEffect, LateAfterUndo, Twice, CrashBefore, CrashAfter}
	atTx     = []Kind{FailOnce, LostReply, Unknowable, CrashBefore, CrashAfter}
	atUndo   = []Kind{FailOnce, LostReply, Stuck, LateEffect, Twice, CrashBefore, CrashAfter}
	atUndoTx = []Kind{FailOnce, LostReply, Stuck, CrashBefore, CrashAfter}
	atRecord = []Kind{CrashBeforeRecord, CrashAfterRecord, LostCommit, StoreDown, Cancel}
	atEvent  = []Kind{EventTwice, SlowEvent, LateEvent}
	atSignal = []Kind{SignalEarly, SignalLate, SignalTwice, NoSignal}
)

// lasting faults hold for all attempts of the step, the others for the one at which they stand.
var lasting = []Kind{Unknowable, UnknownEffect, LateAfterUndo, Stuck}

// Fault is one thing that goes wrong.
type Fault struct {
	Kind Kind
	At   string
}

// String is how a schedule spells the fault: kind@place.
func (f Fault) String() string { return string(f.Kind) + "@" + f.At }

// Schedule is what goes wrong in one run.
type Schedule []Fault

// String spells the schedule so that [Replay] understands it.
func (s Schedule) String() string {
	if len(s) == 0 {
		return "no fault"
	}
	parts := make([]string, len(s))
	for i, f := range s {
		parts[i] = f.String()
	}
	return strings.Join(parts, " + ")
}

// ParseSchedule reads what [Schedule.String] wrote.
func ParseSchedule(text string) (Schedule, error) {
	if text = strings.TrimSpace(text); text == "" || text == "no fault" {
		return nil, nil
	}
	var s Schedule
	for part := range strings.SplitSeq(text, " + ") {
		kind, at, ok := strings.Cut(part, "@")
		f := Fault{Kind(kind), at}
		if !ok || at == "" || !known(f.Kind) {
			return nil, fmt.Errorf("sagatest: %q is no fault: write kind@place, such as %s", part, Fault{CrashAfter, "charge/do"})
		}
		s = append(s, f)
	}
	return s, nil
}

func known(k Kind) bool {
	return k == Reject || k == Slow || slices.ContainsFunc([][]Kind{atStep, atUndo, atRecord, atEvent, atSignal}, func(list []Kind) bool {
		return slices.Contains(list, k)
	})
}

// place is a point of a run at which faults are possible.
type place struct {
	at    string
	kinds []Kind
}

// kindsFor are the faults that an attempt can have.
func kindsFor(n saga.NodeInfo, undo, parallel bool) []Kind {
	tx := n.Kind == "tx-step" || n.Kind == "remote"
	if undo {
		if tx {
			return atUndoTx
		}
		return atUndo
	}
	kinds := slices.Clone(atStep)
	if tx {
		kinds = slices.Clone(atTx)
	}
	if n.Class == "compensatable" || n.Class == "pivot" {
		if n.Kind != "remote" { // its participant refuses
			kinds = append([]Kind{Reject}, kinds...)
		}
	}
	if n.Class == "free" || n.Kind == "remote" {
		kinds = slices.DeleteFunc(kinds, func(k Kind) bool { return k == Unknowable })
	}
	if !n.Undoable {
		kinds = slices.DeleteFunc(kinds, func(k Kind) bool { return k == LateAfterUndo })
	}
	if parallel && !tx {
		kinds = append(kinds, Slow)
	}
	return kinds
}
