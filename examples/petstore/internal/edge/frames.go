package edge

import (
	"slices"
	"strings"
)

// Step is one stop of the tracker. Status is pending, running, retrying, done, failed, unknown, undoing or
// undone.
type Step struct {
	Name     string `json:"name"`
	Label    string `json:"label"`
	Status   string `json:"status"`
	Note     string `json:"note"`
	undoable bool
}

// Frame is the tracker at one moment; the page shows frames one after the other, however fast the saga was.
type Frame struct {
	Seq      int64  `json:"seq"`
	Backward bool   `json:"backward"`
	Headline string `json:"headline"`
	Done     bool   `json:"done"`
	Outcome  string `json:"outcome"` // approved or cancelled, "" before
	Steps    []Step `json:"steps"`
}

// labels say what a step is called while it has not happened, when it has, and when it was taken back.
func labels(step string) (plan, done, undone string) {
	switch step {
	case "create_order":
		return "Take the order", "Order taken", "Order cancelled"
	case "reserve_pet":
		return "Reserve the pet", "Pet reserved", "Pet released"
	case "process_payment":
		return "Charge the card", "Card charged", "Payment taken back"
	case "schedule_delivery":
		return "Plan the delivery", "Delivery planned", "Delivery cancelled"
	case "confirm_order":
		return "Approve the order", "Order approved", "Approval withdrawn"
	}
	text := strings.ReplaceAll(step, "_", " ")
	return text, text, text + " taken back"
}

// Frames turns a saga's journal into what the tracker shows: the first frame before anything happened, and one more for each record
// that a customer would notice.
func Frames(steps []WorkflowStep, journal []Record) []Frame {
	t := &tracker{}
	for _, s := range steps {
		plan, _, _ := labels(s.Name)
		t.steps = append(t.steps, Step{Name: s.Name, Label: plan, Status: "pending", undoable: s.Undoable})
	}
	t.headline = "Your order is on its way"
	frames := []Frame{t.frame(0)}
	for _, r := range journal {
		if t.apply(r) {
			frames = append(frames, t.frame(r.Seq))
		}
	}
	return frames
}

type tracker struct {
	steps    []Step
	backward bool
	headline string
	outcome  string
	ended    bool
}

// apply takes one record in and reports whether the customer sees a difference.
func (t *tracker) apply(r Record) bool {
	i := slices.IndexFunc(t.steps, func(s Step) bool { return s.Name == r.Step })
	switch {
	case r.Outcome != "":
		t.end(r.Outcome)
		if i >= 0 && r.Kind == "done" {
			t.settle(i, r.Undo)
		}
		return true
	case r.Kind == "cancelled":
		t.turn("The order is being taken back: " + orElse(r.Reason, "somebody asked for it"))
		return true
	case r.Kind == "parked":
		t.headline = "The order waits for help from the shop"
		return true
	case r.Kind == "resumed":
		t.headline = "The shop tries again"
		return true
	case i < 0:
		return false
	}
	switch r.Kind {
	case "done":
		t.settle(i, r.Undo)
	case "failed":
		if !r.Undo {
			t.steps[i].Status = "retrying"
		}
		t.steps[i].Note = "no answer yet, trying again"
	case "rejected", "unknown":
		t.steps[i].Status, t.steps[i].Note = "failed", r.Reason
		if r.Kind == "unknown" {
			t.steps[i].Status, t.steps[i].Note = "unknown", "nobody knows whether this happened, so it is taken back too"
		}
		t.turn("Something went wrong: what was done is taken back, step by step")
	default:
		return false
	}
	return true
}

func (t *tracker) settle(i int, undo bool) {
	_, done, undone := labels(t.steps[i].Name)
	if undo {
		t.steps[i].Status, t.steps[i].Label = "undone", undone
		return
	}
	t.steps[i].Status, t.steps[i].Label, t.steps[i].Note = "done", done, ""
}

func (t *tracker) turn(headline string) { t.backward, t.headline = true, headline }

func (t *tracker) end(outcome string) {
	t.ended = true
	switch outcome {
	case "completed":
		t.outcome, t.headline = "approved", "Approved: your new friend is on the way"
	case "compensated":
		t.outcome, t.headline = "cancelled", "Cancelled: everything has been taken back"
	default:
		t.outcome, t.headline = "cancelled", "Stopped by the shop"
	}
}

// frame copies the moment, with the step that is being worked on.
func (t *tracker) frame(seq int64) Frame {
	f := Frame{Seq: seq, Backward: t.backward, Headline: t.headline, Done: t.ended, Outcome: t.outcome, Steps: slices.Clone(t.steps)}
	if t.ended {
		return f
	}
	if !t.backward {
		for i := range f.Steps {
			if f.Steps[i].Status == "pending" {
				f.Steps[i].Status = "running"
			}
			if f.Steps[i].Status != "done" {
				break
			}
		}
		return f
	}
	for i := range slices.Backward(f.Steps) {
		if s := f.Steps[i].Status; (s == "done" || s == "unknown") && f.Steps[i].undoable {
			f.Steps[i].Status = "undoing"
			break
		}
	}
	return f
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
