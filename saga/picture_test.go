package saga_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/saga"
)

var update = flag.Bool("update", false, "write the golden files of pictures")

// order is the state of the definitions that are only drawn, judged and compared here.
type order struct{ Cents int }

func act(saga.Ctx, order) (saga.None, error) { return saga.None{}, nil }

func actTx(saga.Ctx, data.Tx, order) (saga.None, error) { return saga.None{}, nil }

func takeBack(saga.Ctx, order, saga.None) error { return nil }

func takeBackTx(saga.Ctx, data.Tx, order, saga.None) error { return nil }

func remote(name string) *saga.RemoteNode[order, saga.None] {
	return saga.Remote(name, saga.RemoteSpec[order, saga.None]{
		Send:     func(saga.Ctx, data.Tx, order) error { return nil },
		SendUndo: func(saga.Ctx, data.Tx, order, saga.None) error { return nil },
	})
}

func withUndo(name string) *saga.StepNode[order, saga.None] {
	return saga.Step(name, act).Undo(takeBack)
}

func noted(o *order, n int) error { o.Cents += n; return nil }

func dear(o order) bool { return o.Cents > 100_000 }

// everything has each kind of node in each place that is drawn differently.
func everything() *saga.Def[order] {
	approval, pickup := saga.NewSignal[int]("approval"), saga.NewSignal[int]("pickup")
	return saga.Define("place-order", 3,
		saga.TxStep("create-order", actTx).Undo(takeBackTx),
		saga.Publish("order-created", func(order) data.Event { return data.Event{} }),
		withUndo("authorise-payment").Retry(saga.Retry{Max: 6}).Timeout(5*time.Second),
		saga.When("over 1000", dear, saga.Await(approval, noted).Within(48*time.Hour)),
		saga.Parallel("prepare",
			remote("reserve-stock"),
			saga.Sequence("courier", remote("quote-courier"), remote("book-courier").Timeout(time.Minute)),
			withUndo("print-label")),
		saga.When("is a gift", dear, withUndo("wrap")).Otherwise(withUndo("pack"), withUndo("seal")),
		saga.Pivot("capture-payment", act),
		saga.Await(pickup, noted).Named("picked-up").Within(72*time.Hour).OnDeadline(saga.Retriable("remind", act)),
		saga.Sleep("wait-for-returns", func(order) time.Duration { return time.Hour }),
		saga.Retriable("hand-over", act))
}

// runOf describes a run in which the named steps stand as given and all others are pending.
func runOf(state saga.State, statuses map[string]string) saga.Status {
	s := saga.Status{ID: "order-17", Saga: "place-order", Version: 3, State: state}
	for _, name := range []string{
		"create-order", "order-created", "authorise-payment", "approval", "reserve-stock", "quote-courier", "book-courier", "print-label", "wrap",
		"pack", "seal", "capture-payment", "picked-up", "remind", "wait-for-returns", "hand-over",
	} {
		status := statuses[name]
		if status == "" {
			status = "pending"
		}
		s.Steps = append(s.Steps, saga.StepStatus{Name: name, Status: status})
	}
	return s
}

func compensating() saga.Status {
	s := runOf(saga.StateCompensating, map[string]string{
		"create-order": "done", "order-created": "done", "authorise-payment": "done", "reserve-stock": "undo-retrying",
		"quote-courier": "undone", "book-courier": "rejected", "print-label": "unknown",
	})
	s.Steps[4].Failed, s.Steps[4].Error = 2, "stock: connection refused"
	s.Steps[6].Error = `no courier for "the <islands>"`
	return s
}

func running() saga.Status {
	return runOf(saga.StateRunning, map[string]string{
		"create-order": "done", "order-created": "done", "authorise-payment": "done", "reserve-stock": "waiting", "quote-courier": "retrying",
		"print-label": "done",
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write it with: go test ./saga -run Picture -update")
	require.Equal(t, string(want), got, "look at the difference, then: go test ./saga -run Picture -update")
}

func TestPictureGolden(t *testing.T) {
	t.Parallel()
	require.NoError(t, everything().Err())
	golden(t, "place-order.svg", everything().SVG())
	golden(t, "place-order.mmd", everything().Mermaid())
	golden(t, "place-order-running.svg", everything().SVGOf(running()))
	golden(t, "place-order-compensating.svg", everything().SVGOf(compensating()))
	golden(t, "place-order-compensating.mmd", everything().MermaidOf(compensating()))
}

// consignment has items and parts, also in each other.
func consignment() *saga.Def[order] {
	itself := func(o order) order { return o }
	lines := func(order) []order { return make([]order, 7) }
	pay := saga.Define("payment", 4, withUndo("authorise"), saga.Pivot("capture", act))
	customs := saga.Define("customs", 2, withUndo("declare"), saga.Parallel("papers", withUndo("print"), withUndo("stamp")))
	return saga.Define("consignment", 1,
		saga.TxStep("open", actTx).Undo(takeBackTx),
		saga.Each("parcels", lines,
			withUndo("label"),
			saga.When("goes abroad", dear, saga.Child("customs", customs, itself)),
			saga.Each("stops", lines, withUndo("book")).Limit(1)).Limit(3),
		saga.Child("payment", pay, itself),
		saga.TxRetriable("close", actTx))
}

// halfway has seven parcels in different states; none is at its stops yet.
func halfway() saga.Status {
	s := saga.Status{ID: "cons-3", Saga: "consignment", Version: 1, State: saga.StateRunning, Steps: []saga.StepStatus{{Name: "open", Status: "done"}}}
	for i, status := range []string{"done", "done", "done", "retrying", "waiting", "pending", "pending"} {
		item := fmt.Sprintf("parcels[%d]/", i)
		label := saga.StepStatus{Name: item + "label", Of: "parcels[]/label", Status: status}
		if status == "retrying" {
			label.Failed, label.Error = 2, "printer: no paper"
		}
		declare := saga.StepStatus{Name: item + "customs/declare", Of: "parcels[]/customs/declare", Status: "pending"}
		if i < 2 {
			declare.Status = "done"
		}
		s.Steps = append(s.Steps, label, declare, saga.StepStatus{Name: "parcels[]/stops[]/book", Status: "pending"})
	}
	return s
}

func TestPictureOfItems(t *testing.T) {
	t.Parallel()
	def := consignment()
	require.NoError(t, def.Err())
	golden(t, "consignment.svg", def.SVG())
	golden(t, "consignment.mmd", def.Mermaid())
	golden(t, "consignment-running.svg", def.SVGOf(halfway()))
	text := wellFormed(t, def.SVG())
	for _, label := range []string{"parcels · each item, 3 at once", "stops · each item, 1 at once", "customs · customs@2", "payment · payment@4"} {
		require.Contains(t, text, label+"\n", "not cut short")
	}
	for status, want := range map[string][2]string{
		"done": {"done", "7/7 done"}, "pending": {"pending", "0/7 done"}, "undone": {"undone", "7 undone"}, "rejected": {"failed", "0/7 done, 7 failed"},
		"undo-retrying": {"undoing", "0/7 done, 7 undoing"},
	} {
		s := halfway()
		for i := range s.Steps {
			s.Steps[i].Status = status
		}
		svg := def.SVGOf(s)
		require.Contains(t, svg, `class="node k-step `+want[0]+`"><title>parcels[]/label`, status)
		require.Contains(t, svg, `>`+want[1]+`</text>`, status)
	}
	running := def.SVGOf(halfway())
	require.Contains(t, running, "3/7 done, 1 failing, 1 waiting")
	require.Contains(t, running, "parcels[3]/label: printer: no paper", "which item it is")
	require.Contains(t, def.MermaidOf(halfway()), "3/7 done, 1 failing, 1 waiting")
	parked := halfway()
	parked.State, parked.Step = saga.StateParked, "parcels[3]/label"
	require.Contains(t, def.SVGOf(parked), "3/7 done, 1 parked, 1 waiting")
	require.Contains(t, def.SVGOf(parked), `class="node k-step parked"><title>parcels[]/label`)
}

func wellFormed(t require.TestingT, svg string) (text string) {
	d := xml.NewDecoder(strings.NewReader(svg))
	var b strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		require.NoError(t, err)
		if c, ok := token.(xml.CharData); ok {
			b.Write(c)
		}
	}
}

func TestPictureEscapesNames(t *testing.T) {
	t.Parallel()
	evil := "</title><script>\"a\" & 'b'\n]] end %d"
	def := saga.Define("x", 1, withUndo(evil), saga.Parallel("<p>", withUndo("<b>")), saga.When("\x00&", dear, withUndo("]]>")))
	run := saga.Status{ID: "<id>", State: "<state>", Steps: []saga.StepStatus{{Name: evil, Status: "rejected", Error: "<boom> & \x01"}}}
	for _, svg := range []string{def.SVG(), def.SVGOf(run)} {
		require.Contains(t, wellFormed(t, svg), evil)
		require.NotContains(t, svg, "<script")
	}
	for _, chart := range []string{def.Mermaid(), def.MermaidOf(run)} {
		require.NotContains(t, chart, "<script")
		require.Contains(t, chart, `["#60;/title#62;#60;script#62;#34;a#34; #38; #39;b#39; #93;#93; end #37;d<br/>`)
	}
}

func TestPictureShowsEachStepAsItStands(t *testing.T) {
	t.Parallel()
	def := saga.Define("x", 1, withUndo("a"))
	for status, class := range map[string]string{
		"pending": "pending", "skipped": "pending", "retrying": "retrying", "waiting": "waiting", "done": "done", "expired": "done",
		"rejected": "failed", "unknown": "failed", "undo-retrying": "undoing", "undo-waiting": "undoing", "undone": "undone",
	} {
		run := saga.Status{Steps: []saga.StepStatus{{Name: "a", Status: status}}}
		require.Contains(t, def.SVGOf(run), `class="node k-step `+class+`"`, status)
		require.Contains(t, def.MermaidOf(run), "class n1 "+class+"\n", status)
	}
	parked := saga.Status{State: saga.StateParked, Step: "a", Steps: []saga.StepStatus{{Name: "a", Status: "retrying", Failed: 10}}}
	require.Contains(t, def.SVGOf(parked), `class="node k-step parked"`)
	require.Contains(t, def.SVGOf(parked), "parked · 10 failed attempts")
	require.Contains(t, def.SVGOf(saga.Status{}), `class="node k-step pending"`, "a run of another version")
}

func TestPictureTellsTheWayBack(t *testing.T) {
	t.Parallel()
	const back = `class="undo" d="M`
	require.Equal(t, 1, strings.Count(saga.Define("x", 1, withUndo("a"), withUndo("b")).SVG(), back)-1, "one way back and the legend's")
	require.Equal(t, 1, strings.Count(saga.Define("x", 1, saga.Retriable("a", act), saga.Retriable("b", act)).SVG(), back), "only the legend's")
	behind := saga.Define("x", 1, withUndo("a"), saga.Pivot("p", act), saga.Retriable("b", act), saga.Retriable("c", act))
	require.Equal(t, 1, strings.Count(behind.SVG(), back)-1, "none behind the pivot")
	require.Equal(t, 1, strings.Count(behind.SVG(), "point of no return"))
	require.Contains(t, behind.Mermaid(), `n2 ==>|"point of no return"| n3`)
	lanes := saga.Define("x", 1, withUndo("a"), saga.Parallel("p", withUndo("b"), saga.Retriable("c", act)), withUndo("d")).Mermaid()
	for _, edge := range []string{"n5 -. undo .-> n2join", "n2join -. undo .-> n3", "n3 -. undo .-> n2fork", "n2fork -. undo .-> n1", "n1 -. undo .-> start"} {
		require.Contains(t, lanes, edge+"\n")
	}
	require.Equal(t, 5, strings.Count(lanes, " -. undo .-> "), "none for the lane without an Undo")
}

func TestPictureOfBrokenDefinitionsDoesNotPanic(t *testing.T) {
	t.Parallel()
	for _, def := range []*saga.Def[order]{
		saga.Define[order]("", 0), saga.Define("x", 1, saga.Parallel[order]("empty")), saga.Define("x", 1, saga.When[order]("w", nil), nil),
		saga.Define("x", 1, saga.Sequence[order]("")),
	} {
		require.Error(t, def.Err())
		wellFormed(t, def.SVG())
		require.Contains(t, def.Mermaid(), "flowchart TD")
	}
}

func FuzzPicture(f *testing.F) {
	f.Add("a", "b", "done", "")
	f.Add("<a>", "\"&\x00", "rejected", "\xff]]>")
	f.Fuzz(func(t *testing.T, a, b, status, msg string) {
		def := saga.Define("x", 1, saga.Parallel(a, withUndo(b), withUndo(a+b)), saga.When(b+b, dear, withUndo(a+a)))
		run := saga.Status{ID: saga.ID(a), State: saga.State(status), Steps: []saga.StepStatus{{Name: b, Status: status, Error: msg}}}
		wellFormed(t, def.SVG())
		wellFormed(t, def.SVGOf(run))
		for line := range strings.Lines(def.MermaidOf(run)) {
			require.LessOrEqual(t, strings.Count(line, `"`), 2, line)
		}
	})
}
