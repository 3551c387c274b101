package sagatest_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/saga"
	"github.com/marty-framework/mmf/saga/sagatest"
)

type parcel struct{ N int }

func checked() *saga.Def[parcel] {
	none := func(saga.Ctx, parcel) (saga.None, error) { return saga.None{}, nil }
	undo := func(saga.Ctx, parcel, saga.None) error { return nil }
	return saga.Define("send", 1,
		saga.Step("pack", none).Undo(undo),
		saga.Sleep("cool", func(parcel) time.Duration { return time.Second }),
		saga.Parallel("both", saga.Step("label", none).Undo(undo), saga.Step("weigh", none).Undo(undo)),
		saga.When("heavy", func(parcel) bool { return false }, saga.Step("crane", none).Undo(undo)),
		saga.Pivot("pay", none).Retry(saga.Retry{Max: 2}),
		saga.Retriable("ship", none),
	)
}

// goodHistory has a saga that completed and one that was compensated, and puts every property to the test.
func goodHistory() sagatest.History {
	var h sagatest.History
	now, seq := int64(0), int64(0)
	journal := func(id string, epoch int64, kind saga.RecordKind, step string, undo bool) *sagatest.JournalEntry {
		n := int64(1)
		for _, j := range h.Journal {
			if j.Saga == id {
				n++
			}
		}
		now++
		h.Journal = append(h.Journal, sagatest.JournalEntry{
			Saga: id, Def: "send@1", Seq: n, Epoch: epoch, Worker: "w", Kind: kind.String(), Step: step, Undo: undo, At: now,
		})
		return &h.Journal[len(h.Journal)-1]
	}
	effect := func(id, step string, undo bool, what string) {
		now, seq = now+1, seq+1
		key := id + "/" + step + "/do"
		if undo {
			key = id + "/" + step + "/undo"
		}
		h.Effects = append(h.Effects, sagatest.Effect{Seq: seq, Saga: id, Step: step, Undo: undo, Key: key, Effect: what, At: now})
	}
	step := func(id, name string, undo bool) *sagatest.JournalEntry {
		effect(id, name, undo, sagatest.Applied)
		return journal(id, 1, saga.Done, name, undo)
	}
	for _, id := range []string{"one", "two"} {
		h.Client = append(h.Client, sagatest.ClientOp{Op: "start", Key: "k-" + id, Input: "i", Saga: id, Out: sagatest.OK})
		journal(id, 1, saga.Started, "", false)
		step(id, "pack", false)
		journal(id, 1, saga.Armed, "cool", false).Due = now + 2
		now += 2
		journal(id, 1, saga.Done, "cool", false)
	}
	step("one", "label", false)
	step("one", "weigh", false)
	journal("one", 1, saga.Branched, "heavy", false)
	step("one", "pay", false)
	effect("one", "ship", false, sagatest.Applied)
	effect("one", "ship", false, sagatest.Duplicate)
	journal("one", 2, saga.Done, "ship", false).End = string(saga.Completed)

	effect("two", "weigh", false, sagatest.Reached)
	h.Client = append(h.Client, sagatest.ClientOp{Op: "cancel", Saga: "two", Inv: now, Ret: now, Out: sagatest.OK})
	step("two", "label", false)
	journal("two", 2, saga.Unknown, "weigh", false)
	step("two", "weigh", true)
	step("two", "label", true)
	step("two", "pack", true).End = string(saga.Compensated)
	h.Workers = []sagatest.WorkerEvent{{Worker: "w", Event: "kill"}}
	h.Events = []sagatest.TopicEvent{
		{Topic: "t", Offset: 1, ID: "e1", Aggregate: "one", Version: 1},
		{Topic: "t", Offset: 2, ID: "e2", Aggregate: "one", Version: 2},
		{Topic: "t", Offset: 3, ID: "e1", Aggregate: "one", Version: 1},
	}
	h.Inbox = []sagatest.InboxEffect{{Consumer: "c", ID: "e1", Seq: 1}, {Consumer: "c", ID: "e2", Seq: 2}}
	// Epochs never go back within a saga: what comes after the kill bears the new one.
	for i := range h.Journal {
		if h.Journal[i].Saga == "two" && h.Journal[i].Seq >= 6 {
			h.Journal[i].Epoch = 2
		}
	}
	return h
}

// Each property lets a good history pass and sees what breaks it.
func TestEveryPropertySeesItsViolation(t *testing.T) {
	t.Parallel()
	good := sagatest.Check(goodHistory(), checked())
	require.Empty(t, good.Violations, good.String())
	require.Empty(t, good.Vacuous(), "every property had something to look at")

	record := func(h *sagatest.History, id string, kind saga.RecordKind, step string, undo bool) *sagatest.JournalEntry {
		for i, j := range h.Journal {
			if j.Saga == id && j.Kind == kind.String() && j.Step == step && j.Undo == undo {
				return &h.Journal[i]
			}
		}
		t.Fatalf("%s has no %s of %s", id, kind, step)
		return nil
	}
	effect := func(h *sagatest.History, id, step string, undo bool) *sagatest.Effect {
		for i, e := range h.Effects {
			if e.Saga == id && e.Step == step && e.Undo == undo {
				return &h.Effects[i]
			}
		}
		t.Fatalf("%s has no effect of %s", id, step)
		return nil
	}
	drop := func(h *sagatest.History, e *sagatest.JournalEntry) {
		gone := *e
		h.Journal = slices.DeleteFunc(h.Journal, func(j sagatest.JournalEntry) bool { return j.Saga == gone.Saga && j.Seq == gone.Seq })
		for i, j := range h.Journal {
			if j.Saga == gone.Saga && j.Seq > gone.Seq {
				h.Journal[i].Seq--
			}
		}
	}
	late := int64(1 << 40)
	breaks := map[string]func(h *sagatest.History){
		"SAFE-1": func(h *sagatest.History) {
			again := *effect(h, "one", "pack", false)
			h.Effects = append(h.Effects, again)
		},
		"SAFE-2": func(h *sagatest.History) {
			again := *effect(h, "one", "ship", false)
			again.Key, again.Effect = "another", sagatest.Duplicate
			h.Effects = append(h.Effects, again)
		},
		"SAFE-3": func(h *sagatest.History) { record(h, "one", saga.Done, "label", false).At = late },
		"SAFE-4": func(h *sagatest.History) { effect(h, "two", "pack", true).At = effect(h, "two", "weigh", true).At - 1 },
		"SAFE-5": func(h *sagatest.History) {
			e := *effect(h, "two", "label", true)
			e.Step, e.Key = "crane", "crane-key"
			h.Effects = append(h.Effects, e)
		},
		"SAFE-6": func(h *sagatest.History) { drop(h, record(h, "two", saga.Done, "weigh", true)) },
		"SAFE-7": func(h *sagatest.History) {
			e := effect(h, "two", "label", false)
			e.At = effect(h, "two", "label", true).At + 1
		},
		"SAFE-8": func(h *sagatest.History) {
			more := *record(h, "one", saga.Done, "ship", false)
			more.Seq, more.End, more.Kind = more.Seq+1, "", saga.Cancelled.String()
			h.Journal = append(h.Journal, more)
		},
		"SAFE-9":  func(h *sagatest.History) { effect(h, "two", "pack", true).Effect = sagatest.Refused },
		"SAFE-10": func(h *sagatest.History) { h.Client[1].Key = h.Client[0].Key },
		"SAFE-11": func(h *sagatest.History) { h.Client[0].Saga = "three" },
		"SAFE-12": func(h *sagatest.History) {
			record(h, "one", saga.Done, "ship", false).Epoch = 0
			h.Journal[2].Epoch = 7
		},
		"SAFE-13": func(h *sagatest.History) { record(h, "one", saga.Done, "label", false).Seq = 99 },
		"SAFE-16": func(h *sagatest.History) { h.Events = h.Events[1:2] },
		"SAFE-17": func(h *sagatest.History) { h.Inbox = append(h.Inbox, h.Inbox[0]) },
		"SAFE-18": func(h *sagatest.History) { h.Events[1].Version = 3 },
		"SAFE-20": func(h *sagatest.History) {
			for range 4 {
				e := *effect(h, "one", "pay", false)
				e.Effect = sagatest.Duplicate
				h.Effects = append(h.Effects, e)
			}
		},
		"SAFE-22": func(h *sagatest.History) { record(h, "one", saga.Done, "ship", false).Def = "send@2" },
		"LIVE-1":  func(h *sagatest.History) { record(h, "one", saga.Done, "ship", false).End = "" },
		"LIVE-5":  func(h *sagatest.History) { h.Workers = nil },
		"LIVE-7":  func(h *sagatest.History) { record(h, "one", saga.Armed, "cool", false).Due = late },
	}
	for _, id := range sagatest.Properties() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			h := goodHistory()
			require.Contains(t, breaks, id, "every property has a history that breaks it")
			breaks[id](&h)
			verdict := sagatest.Check(h, checked())
			require.True(t, slices.ContainsFunc(verdict.Violations, func(v sagatest.Violation) bool { return v.Property == id }),
				"not seen; found instead: %s", verdict)
		})
	}
}

// A history survives the way to disk and back, and a torn last line costs only itself.
func TestHistoriesAreWrittenAndRead(t *testing.T) {
	t.Parallel()
	h := goodHistory()
	var file bytes.Buffer
	n, err := h.WriteTo(&file)
	require.NoError(t, err)
	require.Equal(t, int64(file.Len()), n)
	back, err := sagatest.ReadHistory(strings.NewReader(file.String()+`{"src":"P","saga":"to`), strings.NewReader(""))
	require.NoError(t, err)
	require.Equal(t, h, back)

	_, err = sagatest.ReadHistory(strings.NewReader("{\"src\":\"C\"}\nnonsense\n"))
	require.ErrorContains(t, err, "line 2")
	_, err = sagatest.ReadHistory(strings.NewReader("{\"src\":\"X\"}\n"))
	require.ErrorContains(t, err, `"X"`)
	require.Error(t, sagatest.NewRecorder(&file).Add(7))
}
