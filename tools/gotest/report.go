package main

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action, Package, Test, Output, ImportPath string
}

// test names one test; an empty name is the package itself.
type test struct{ pkg, name string }

// report turns events into lines for people.
type report struct {
	w       io.Writer
	verbose bool
	// output is what each unfinished test has said so far.
	output map[test][]string
	// skips maps a reason to the tests that gave it.
	skips                     map[string][]string
	passed, failed, notTested int
}

func newReport(w io.Writer, verbose bool) *report {
	return &report{w: w, verbose: verbose, output: map[test][]string{}, skips: map[string][]string{}}
}

func (r *report) print(text string) { _, _ = io.WriteString(r.w, text) }

func (r *report) add(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		r.print(e.Output)
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT: who did what when, for nobody
			r.output[t] = append(r.output[t], e.Output)
		}
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(t, e.Action)
		} else {
			r.endTest(t, e.Action)
		}
	}
}

func (r *report) endTest(t test, action string) {
	lines := r.output[t]
	delete(r.output, t)
	top := !strings.Contains(t.name, "/")
	switch action {
	case "pass":
		if top {
			r.passed++
		}
	case "fail":
		if top {
			r.failed++
		}
		r.print(strings.Join(lines, ""))
		return
	case "skip":
		reason := skipReason(lines)
		r.skips[reason] = append(r.skips[reason], path.Base(t.pkg)+"."+t.name)
	}
	if r.verbose && top {
		for _, line := range lines {
			if strings.HasPrefix(line, "--- ") {
				r.print(line)
			}
		}
	}
}

func (r *report) endPackage(t test, action string) {
	lines := r.output[t]
	delete(r.output, t)
	if action != "fail" {
		for _, line := range lines {
			if strings.HasPrefix(line, "ok ") {
				r.print(line)
			}
			if strings.Contains(line, "[no test files]") {
				r.notTested++
			}
		}
		return
	}
	// A panic, a race or a time limit ends the process: tests that had not ended hold the evidence.
	for _, open := range slices.SortedFunc(maps.Keys(r.output), func(a, b test) int { return strings.Compare(a.name, b.name) }) {
		if open.pkg == t.pkg {
			r.print(strings.Join(r.output[open], ""))
			delete(r.output, open)
		}
	}
	r.print(strings.Join(lines, ""))
}

// skipReason is what a test said before it skipped, without go test's own lines and the position.
func skipReason(lines []string) string {
	var said []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "--- ") {
			continue
		}
		if before, after, found := strings.Cut(line, ": "); found && strings.Contains(before, ".go:") {
			line = after
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func (r *report) summary() {
	skipped := 0
	for _, tests := range r.skips {
		skipped += len(tests)
	}
	fmt.Fprintf(r.w, "\ntests: %d passed, %d failed, %d skipped; packages without tests: %d\n", r.passed, r.failed, skipped, r.notTested)
	for _, reason := range slices.Sorted(maps.Keys(r.skips)) {
		tests := r.skips[reason]
		const most = 4
		shown := strings.Join(tests[:min(len(tests), most)], ", ")
		if len(tests) > most {
			shown += fmt.Sprintf(" and %d more", len(tests)-most)
		}
		fmt.Fprintf(r.w, "NOT RUN: %s: %s\n", shown, reason)
	}
}
