package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Scenario is one story. It returns when a claim was broken (the narrator knows which) or something else kept it from going on.
type Scenario struct {
	Name, Title string
	Run         func(ctx context.Context, n *Narrator, lab *Lab) error
}

// Options say how a demo runs.
type Options struct {
	// Only names the one scenario to run; empty: all.
	Only string
	// JSON writes one object per assertion and nothing else.
	JSON bool
	// Env is the environment of the shop: embedded or servers. Default embedded.
	Env string
	// Binary is the program to start as a shop. Required.
	Binary string
	// Budget bounds each scenario. Default 90 s.
	Budget time.Duration
}

// Saga are the scenarios of the order's saga.
func Saga() []Scenario {
	return []Scenario{
		{"happy", "Alice buys Buddy", happy},
		{"decline", "Bob's card is declined", decline},
		{"unknown", "the bank charges Carol and falls silent", unknown},
		{"race", "two buyers want the same goldfish", race},
		{"crash", "the shop is killed in the middle of a purchase", crash},
	}
}

// Run tells the scenarios to out, one after the other, until a claim breaks. The error is a *[BrokenError] then.
func Run(ctx context.Context, scenarios []Scenario, opts Options, out io.Writer) (err error) {
	if opts.Budget == 0 {
		opts.Budget = 90 * time.Second
	}
	chosen, err := choose(scenarios, opts.Only)
	if err != nil {
		return err
	}
	began := time.Now()
	n := NewNarrator(out, opts.JSON)
	lab, err := NewLab(opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	for _, s := range chosen {
		n.Scenario(s.Name, s.Title)
		if err := tell(ctx, s, n, lab, opts.Budget); err != nil {
			return err
		}
	}
	n.say("\n%d assertions passed in %.1f s\n%s", n.Passed(), time.Since(began).Seconds(), reproduce)
	return nil
}

const reproduce = `
Do it yourself, with a shop that runs (go run ./examples/petstore):
  T=$(go run ./examples/petstore token --user alice)
  curl -si localhost:8080/api/v1/orders -H "Authorization: Bearer $T" -H "Idempotency-Key: $RANDOM" \
       -H 'Content-Type: application/json' -d '{"petId":"goldfish-004","paymentMethod":"pm_declined"}'
  curl -s  localhost:8080/api/v1/orders -H "Authorization: Bearer $T"
`

func tell(ctx context.Context, s Scenario, n *Narrator, lab *Lab, budget time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	err := s.Run(ctx, n, lab)
	if n.Err() != nil { // what came after it no longer counts
		return n.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w%s", s.Name, err, lab.lastWords())
	}
	return nil
}

func choose(scenarios []Scenario, only string) ([]Scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	var names []string
	for _, s := range scenarios {
		if s.Name == only {
			return []Scenario{s}, nil
		}
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("there is no scenario %q; choose from %s", only, strings.Join(names, ", "))
}
