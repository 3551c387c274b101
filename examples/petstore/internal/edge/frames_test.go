package edge_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/examples/petstore/internal/edge"
)

func steps() []edge.WorkflowStep {
	return []edge.WorkflowStep{
		{Name: "create_order", Undoable: true},
		{Name: "reserve_pet", Undoable: true},
		{Name: "process_payment", Undoable: true},
		{Name: "schedule_delivery", Undoable: true},
		{Name: "confirm_order"},
	}
}

func done(step string) edge.Record   { return edge.Record{Kind: "done", Step: step} }
func undone(step string) edge.Record { return edge.Record{Kind: "done", Step: step, Undo: true} }

// lines draws each frame as a line: < or > for the direction, and a letter for each step's status.
func lines(frames []edge.Frame) []string {
	var all []string
	for _, f := range frames {
		line := ">"
		if f.Backward {
			line = "<"
		}
		for _, s := range f.Steps {
			line += map[string]string{
				"pending": " .", "running": " r", "retrying": " R", "done": " D", "failed": " X", "unknown": " ?", "undoing": " u", "undone": " U",
			}[s.Status]
		}
		all = append(all, strings.TrimSpace(line+" "+f.Outcome))
	}
	return all
}

func number(records ...edge.Record) []edge.Record {
	for i := range records {
		records[i].Seq = int64(i + 1)
	}
	return records
}

func TestTrackerRunsForward(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"> r . . . .", "> D r . . .", "> D D r . .", "> D D R . .", "> D D D r .", "> D D D D r", "> D D D D D", "> D D D D D approved",
	}, lines(edge.Frames(steps(), number(
		edge.Record{Kind: "started"}, done("create_order"), done("publish_created"),
		edge.Record{Kind: "armed", Step: "reserve_pet"}, done("reserve_pet"),
		edge.Record{Kind: "failed", Step: "process_payment"}, done("process_payment"), done("schedule_delivery"), done("confirm_order"),
		edge.Record{Kind: "done", Step: "publish_approved", Outcome: "completed"},
	))))
}

func TestTrackerRunsBackwardFromARefusal(t *testing.T) {
	t.Parallel()
	frames := edge.Frames(steps(), number(
		done("create_order"), done("reserve_pet"), edge.Record{Kind: "rejected", Step: "process_payment", Reason: "declined"},
		undone("reserve_pet"), edge.Record{Kind: "done", Step: "create_order", Undo: true, Outcome: "compensated"},
	))
	require.Equal(t, []string{
		"> r . . . .", "> D r . . .", "> D D r . .", "< D u X . .", "< u U X . .", "< U U X . . cancelled",
	}, lines(frames))
	require.Equal(t, "declined", frames[3].Steps[2].Note)
	require.True(t, frames[5].Done)
	require.Equal(t, "Pet released", frames[5].Steps[1].Label)
}

// What may have happened is taken back first.
func TestTrackerTakesBackTheUnknown(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"> r . . . .", "> D r . . .", "> D D r . .", "< D D u . .", "< D u U . .",
	}, lines(edge.Frames(steps(), number(
		done("create_order"), done("reserve_pet"), edge.Record{Kind: "unknown", Step: "process_payment"}, undone("process_payment"),
	))))
}

func TestTrackerShowsACancellationAndHelp(t *testing.T) {
	t.Parallel()
	frames := edge.Frames(steps(), number(
		done("create_order"), edge.Record{Kind: "cancelled", Reason: "changed my mind"}, edge.Record{Kind: "parked"},
	))
	require.Contains(t, frames[2].Headline, "changed my mind")
	require.Contains(t, frames[3].Headline, "help")
	require.False(t, frames[3].Done)
}

// A frame once shown does not change when later records arrive.
func TestFramesAreCopies(t *testing.T) {
	t.Parallel()
	journal := number(done("create_order"), done("reserve_pet"))
	all := edge.Frames(steps(), journal)
	require.Equal(t, lines(edge.Frames(steps(), journal[:1])), lines(all[:2]))
}

func TestMoney(t *testing.T) {
	t.Parallel()
	for want, cents := range map[string]int64{"$0.05": 5, "$25.00": 2500, "$1,200.00": 120000, "$1,234,567.89": 123456789, "-$3.00": -300} {
		require.Equal(t, want, edge.Money(cents, "USD"))
	}
	require.Equal(t, "10.00 EUR", edge.Money(1000, "EUR"))
}

func TestLocalPathNeverLeavesTheSite(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/orders/x?y", edge.LocalPath("/orders/x?y"))
	for _, path := range []string{"", "https://evil.example", "//evil.example", `/\evil.example`, "javascript:alert(1)"} {
		require.Equal(t, "/", edge.LocalPath(path), path)
	}
}
