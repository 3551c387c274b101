package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"
)

// BrokenError says which claim did not hold.
type BrokenError struct{ Scenario, Step, Claim, Expected, Saw string }

// Error tells it in a sentence.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("%s: %s: expected %s, saw %s", e.Scenario, e.Claim, e.Expected, e.Saw)
}

// Assertion is one checked claim, as it is written with --json.
type Assertion struct {
	Scenario string  `json:"scenario"`
	Step     string  `json:"step"`
	Claim    string  `json:"claim"`
	Expected string  `json:"expected"`
	Saw      string  `json:"saw"`
	OK       bool    `json:"ok"`
	MS       float64 `json:"ms"`
}

// Narrator tells a story and checks its claims. After the first one that does not hold it falls silent: Err says which. It is for one
// goroutine.
type Narrator struct {
	out    io.Writer
	asJSON bool

	scenario, step string
	last           time.Time
	passed         int
	err            error
}

// NewNarrator tells the story to out, for people or, asJSON, as one JSON object per assertion.
func NewNarrator(out io.Writer, asJSON bool) *Narrator {
	return &Narrator{out: out, asJSON: asJSON, last: time.Now()}
}

// Scenario begins a new one.
func (n *Narrator) Scenario(name, title string) {
	n.scenario, n.step = name, ""
	n.say("\n%s: %s\n", name, title)
}

// Step says what is done and why it matters. The assertions that follow belong to it.
func (n *Narrator) Step(what, why string) {
	n.step, n.last = what, time.Now()
	n.say("\n▸ %s\n  %s\n", what, why)
}

// Note tells an id or a link that a reader may want.
func (n *Narrator) Note(format string, args ...any) { n.say("  · "+format+"\n", args...) }

// Equal asserts that what was seen is what was expected. The time is that since the step or assertion before.
func (n *Narrator) Equal(claim string, expected, saw any) {
	if n.err != nil {
		return
	}
	took := time.Since(n.last)
	n.last = time.Now()
	a := Assertion{
		Scenario: n.scenario, Step: n.step, Claim: claim, Expected: text(expected), Saw: text(saw),
		OK: reflect.DeepEqual(expected, saw), MS: float64(took.Microseconds()) / 1000,
	}
	if a.OK {
		n.passed++
	} else {
		n.err = &BrokenError{Scenario: a.Scenario, Step: a.Step, Claim: a.Claim, Expected: a.Expected, Saw: a.Saw}
	}
	mark := "✓"
	if !a.OK {
		mark = "✗"
	}
	line := fmt.Sprintf("  %s %s: expected %s, saw %s (%d ms)\n", mark, claim, a.Expected, a.Saw, took.Milliseconds())
	if n.asJSON {
		object, _ := json.Marshal(a) // strings, a bool and a number: it cannot fail
		line = string(object) + "\n"
	}
	n.write(line)
}

// Err is the *[BrokenError] of the first claim that did not hold, or why the story could not be told, else nil.
func (n *Narrator) Err() error { return n.err }

// Passed counts the claims that held.
func (n *Narrator) Passed() int { return n.passed }

func (n *Narrator) say(format string, args ...any) {
	if !n.asJSON && n.err == nil {
		n.write(fmt.Sprintf(format, args...))
	}
}

// write ends a story that nobody can hear any more, such as one piped into a program that has read enough.
func (n *Narrator) write(text string) {
	if _, err := io.WriteString(n.out, text); err != nil && n.err == nil {
		n.err = fmt.Errorf("tell the story: %w", err)
	}
}

// text writes a value as a reader would: lists and maps as JSON, everything else as it prints.
func text(v any) string {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Slice, reflect.Map, reflect.Struct:
		if b, err := json.Marshal(v); err == nil {
			return string(b)
		}
	case reflect.String:
		if reflect.ValueOf(v).Len() == 0 {
			return `""`
		}
	}
	return fmt.Sprint(v)
}
