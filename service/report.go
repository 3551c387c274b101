package service

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"
)

// Report tells how a service ended.
type Report struct {
	Service string
	// Cause is what ended the service when it was not asked to end, else nil.
	Cause error
	// Took is how long the drain took.
	Took   time.Duration
	Phases []PhaseReport
}

// PhaseReport is one phase of the drain.
type PhaseReport struct {
	Name         string
	Budget, Took time.Duration
	Parts        []PartReport
}

// PartReport is what one component, or a part of the service, did in its phase.
type PartReport struct {
	Name string
	Took time.Duration
	// Err is why the part failed or did not end in time, else nil.
	Err error
}

// Err joins the cause and everything that went wrong; nil after a clean drain that was asked for.
func (r Report) Err() error {
	errs := []error{r.Cause}
	for _, p := range r.Phases {
		for _, part := range p.Parts {
			if part.Err != nil && (r.Cause == nil || !errors.Is(part.Err, r.Cause)) {
				errs = append(errs, part.Err)
			}
		}
	}
	return errors.Join(errs...)
}

// String prints the report for people, one phase per line.
func (r Report) String() string {
	var b strings.Builder
	cause := "asked to end"
	if r.Cause != nil {
		cause = r.Cause.Error()
	}
	fmt.Fprintf(&b, "%s drained in %v (%s)\n", r.Service, r.Took.Round(time.Millisecond), cause)
	tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	for _, p := range r.Phases {
		// A write to a strings.Builder does not fail.
		_, _ = fmt.Fprintf(tw, "  %s\t%v of %v\t%s\n", p.Name, p.Took.Round(time.Millisecond), p.Budget, p.parts())
	}
	_ = tw.Flush()
	return b.String()
}

func (p PhaseReport) parts() string {
	var parts []string
	for _, part := range p.Parts {
		if part.Err != nil {
			parts = append(parts, part.Name+": "+part.Err.Error())
		} else {
			parts = append(parts, part.Name)
		}
	}
	return strings.Join(parts, ", ")
}

func (r Report) fields() []zap.Field {
	fields := []zap.Field{zap.Float64("took_ms", float64(r.Took.Microseconds())/1000)}
	if err := r.Err(); err != nil {
		fields = append(fields, zap.Error(err))
	}
	for _, p := range r.Phases {
		fields = append(fields, zap.Float64(strings.ReplaceAll(p.Name, " ", "_")+"_ms", float64(p.Took.Microseconds())/1000))
	}
	return fields
}
