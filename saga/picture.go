package saga

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mood is how a picture colours a step of a running saga.
type mood string

const (
	moodNone     mood = ""
	moodPending  mood = "pending"
	moodDone     mood = "done"
	moodWaiting  mood = "waiting"
	moodRetrying mood = "retrying"
	moodFailed   mood = "failed"
	moodUndone   mood = "undone"
	moodUndoing  mood = "undoing"
	moodParked   mood = "parked"
)

// moods in the order in which a saga lives through them: legends and class definitions follow it.
func moods() []mood {
	return []mood{moodPending, moodWaiting, moodRetrying, moodDone, moodFailed, moodUndoing, moodUndone, moodParked}
}

// overlay is what a picture shows of one run; nil shows the definition alone.
type overlay struct {
	Status
	steps map[string]StepStatus
}

func newOverlay(s Status) *overlay {
	o := &overlay{s, map[string]StepStatus{}}
	for _, step := range s.Steps {
		o.steps[step.Name] = step
	}
	return o
}

func (o *overlay) mood(n *node) mood {
	if o == nil {
		return moodNone
	}
	if o.State == StateParked && o.Step == n.name {
		return moodParked
	}
	switch o.steps[n.name].Status {
	case "done", "expired":
		return moodDone
	case "waiting":
		return moodWaiting
	case "retrying":
		return moodRetrying
	case "rejected", "unknown":
		return moodFailed
	case "undo-retrying", "undo-waiting":
		return moodUndoing
	case "undone":
		return moodUndone
	default:
		return moodPending
	}
}

// says describes the run of one step in a few words.
func (o *overlay) says(n *node) string {
	step, ok := o.steps[n.name]
	if !ok {
		return string(moodPending)
	}
	text := strings.ReplaceAll(step.Status, "-", " ")
	if o.mood(n) == moodParked {
		text = "parked"
	}
	switch step.Failed {
	case 0:
		return text
	case 1:
		return text + " · 1 failed attempt"
	default:
		return fmt.Sprintf("%s · %d failed attempts", text, step.Failed)
	}
}

// caption says in a few words what a node is and how patient it is.
func caption(n *node) string {
	switch {
	case n.publishes:
		return "publishes an event"
	case n.kind == kindAwait:
		text := "waits " + shortDuration(n.within)
		if n.name != n.signal {
			text += " for " + n.signal
		}
		if len(n.children) == 0 {
			text += ", then turns back"
		}
		return text
	case n.kind == kindSleep:
		return "sleeps"
	case !n.kind.isAction():
		return n.kind.String()
	}
	what := map[nodeKind]string{kindStep: "step", kindTx: "transaction", kindRemote: "remote"}[n.kind]
	switch n.class {
	case pivot:
		what = "pivot"
	case retriable:
		what += ", only forward"
	}
	tries := " tries"
	if n.retry.Max == 1 {
		tries = " try"
	}
	return what + " · " + strconv.Itoa(n.retry.Max) + tries + " · " + shortDuration(n.timeout)
}

// shortDuration is d without units that are zero, and in days when it is whole days.
func shortDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 3*day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// groupLabel is what stands on the frame of a group.
func groupLabel(n *node) string {
	switch n.kind {
	case kindEach:
		return n.name + " · each item, " + strconv.Itoa(n.limit) + " at once"
	case kindChild:
		if n.child != nil {
			return n.name + " · " + n.child.kind()
		}
	}
	return n.name
}
