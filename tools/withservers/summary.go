package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// summary says which real servers a run had and which it lacked: the last lines, where nobody can miss them.
func summary(w io.Writer, servers []*server) {
	fmt.Fprintln(w, "\nreal servers of this run:")
	for _, s := range servers {
		if s.err == nil {
			fmt.Fprintf(w, "  %-13s %-10s %s (ready after %v)\n", s.kind.title, s.version, s.how, s.took.Round(100*time.Millisecond))
		}
	}
	for _, s := range servers {
		if s.err != nil {
			fmt.Fprintf(w, "NOT RUN: nothing was tested against a real %s: %s\n", s.kind.title, strings.ReplaceAll(s.err.Error(), "\n", "\n  | "))
		}
	}
}
