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
	steps map[string][]StepStatus // by their name in the definition: one, or one per item
	drawn map[mood]bool
}

func newOverlay(def *shape, s Status) *overlay {
	o := &overlay{s, map[string][]StepStatus{}, map[mood]bool{}}
	for _, step := range s.Steps {
		name := step.Name
		if step.Of != "" {
			name = step.Of
		}
		o.steps[name] = append(o.steps[name], step)
	}
	for _, n := range def.nodes {
		if n.kind >= kindAwait {
			o.drawn[o.mood(n)] = true
		}
	}
	return o
}

// mood of a step that stands for those of many items is that of the item that most needs a look.
func (o *overlay) mood(n *node) mood {
	if o == nil {
		return moodNone
	}
	count := o.count(n)
	for _, m := range []mood{moodParked, moodFailed, moodRetrying, moodUndoing, moodWaiting} {
		if count[m] > 0 {
			return m
		}
	}
	switch total := len(o.steps[n.name]); {
	case total == 0 || count[moodPending] == total:
		return moodPending
	case count[moodDone] == total:
		return moodDone
	case count[moodUndone] > 0 && count[moodDone] == 0:
		return moodUndone
	case count[moodUndone] > 0:
		return moodUndoing
	default:
		return moodWaiting // for the other items
	}
}

func (o *overlay) count(n *node) map[mood]int {
	count := map[mood]int{}
	for _, step := range o.steps[n.name] {
		count[o.moodOf(step)]++
	}
	return count
}

func (o *overlay) moodOf(step StepStatus) mood {
	if o.State == StateParked && o.Step == step.Name {
		return moodParked
	}
	switch step.Status {
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
	steps := o.steps[n.name]
	switch {
	case len(steps) == 0:
		return string(moodPending)
	case n.repeated && steps[0].Of == "":
		return string(moodPending) // there are no items yet
	case n.repeated:
		return o.tally(n, len(steps))
	}
	text := strings.ReplaceAll(steps[0].Status, "-", " ")
	if o.mood(n) == moodParked {
		text = "parked"
	}
	switch failed := steps[0].Failed; failed {
	case 0:
		return text
	case 1:
		return text + " · 1 failed attempt"
	default:
		return fmt.Sprintf("%s · %d failed attempts", text, failed)
	}
}

// tally is how far the items of an each are with one of their steps: "3/7 done, 1 failing".
func (o *overlay) tally(n *node, total int) string {
	count := o.count(n)
	var parts []string
	if count[moodUndone] == 0 || count[moodDone] > 0 {
		parts = append(parts, fmt.Sprintf("%d/%d done", count[moodDone], total))
	}
	for _, x := range []struct {
		mood
		text string
	}{
		{moodParked, "parked"},
		{moodFailed, "failed"},
		{moodRetrying, "failing"},
		{moodWaiting, "waiting"},
		{moodUndoing, "undoing"},
		{moodUndone, "undone"},
	} {
		if count[x.mood] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[x.mood], x.text))
		}
	}
	return strings.Join(parts, ", ")
}

// newestError is what went wrong last, and in which item.
func (o *overlay) newestError(n *node) string {
	var newest StepStatus
	for _, step := range o.steps[n.name] {
		if step.Error != "" && (newest.Error == "" || step.At.After(newest.At)) {
			newest = step
		}
	}
	if newest.Of != "" && newest.Error != "" {
		return newest.Name + ": " + newest.Error
	}
	return newest.Error
}

// shownName is a node's name where the picture shows what it stands in.
func shownName(n *node) string {
	if n.local != "" {
		return n.local
	}
	return n.name
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
		return shownName(n) + " · each item, " + strconv.Itoa(n.limit) + " at once"
	case kindChild:
		if n.child != nil {
			return shownName(n) + " · " + n.child.kind()
		}
	}
	return shownName(n)
}
