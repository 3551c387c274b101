package resilience_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/marty-framework/mmf/resilience"
)

// model is the breaker as simple as it can be said.
type model struct {
	failures, probes  int // settings
	cooldown          time.Duration
	state             resilience.BreakerState
	generation        int
	failed, succeeded int
	out               int // half-open permits that did not come back ignored
	openedAt          time.Time
	transitions       []resilience.StateChange
}

func (m *model) move(to resilience.BreakerState) {
	m.transitions = append(m.transitions, resilience.StateChange{From: m.state, To: to})
	m.state, m.failed, m.succeeded, m.out = to, 0, 0, 0
	m.generation++
	if to == resilience.Open {
		m.openedAt = time.Now()
	}
}

func (m *model) admit() bool {
	if m.state == resilience.Open && time.Since(m.openedAt) >= m.cooldown {
		m.move(resilience.HalfOpen)
	}
	switch m.state {
	case resilience.Open:
		return false
	case resilience.HalfOpen:
		if m.out >= m.probes {
			return false
		}
		m.out++
	default:
	}
	return true
}

func (m *model) settle(generation int, how string) {
	if generation != m.generation {
		return // a late result of an older state
	}
	switch how {
	case "failure":
		m.failed++
	case "success", "permanent":
		m.succeeded++
	default:
		if m.state == resilience.HalfOpen {
			m.out--
		}
		return
	}
	switch {
	case m.state == resilience.Closed && m.failed >= m.failures:
		m.move(resilience.Open)
	case m.state == resilience.HalfOpen && m.failed > 0:
		m.move(resilience.Open)
	case m.state == resilience.HalfOpen && m.succeeded >= m.probes:
		m.move(resilience.Closed)
	}
}

type flight struct {
	generation int
	cancel     context.CancelFunc
	finish     chan string
	done       chan struct{}
}

// TestBreakerFollowsTheModel (B1, B2) interleaves calls that are in flight together with time and all ways to end a call,
// and compares every admission and every transition with the model.
func TestBreakerFollowsTheModel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// rapid asks for the deadline of the test, which a bubble forbids; the bare interface has none.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) { followModel(t, rt) })
	})
}

func followModel(t *testing.T, rt *rapid.T) {
	m := &model{
		failures: rapid.IntRange(1, 4).Draw(rt, "failures"),
		probes:   rapid.IntRange(1, 3).Draw(rt, "probes"),
		cooldown: time.Duration(rapid.IntRange(1, 5).Draw(rt, "cooldown")) * time.Second,
	}
	var seen []resilience.StateChange
	p := newPolicy(t, resilience.Config{
		DisableTimeout: true,
		Breaker:        resilience.Breaker{Failures: m.failures, Window: time.Hour, Cooldown: m.cooldown, Probes: m.probes},
		Hooks:          resilience.Hooks{StateChange: func(c resilience.StateChange) { seen = append(seen, c) }},
	})
	var flights []*flight
	reached := 0

	start := func(rt *rapid.T) {
		f := &flight{finish: make(chan string), done: make(chan struct{})}
		var ctx context.Context
		ctx, f.cancel = context.WithCancel(t.Context())
		var got error
		before := reached
		go func() {
			defer close(f.done)
			defer func() { _ = recover() }()
			_, got = resilience.Do(ctx, p, func(ctx context.Context) (int, error) {
				reached++
				switch <-f.finish {
				case "failure":
					return 0, errDown
				case "permanent":
					return 0, resilience.Permanent(errDown)
				case "canceled":
					return 0, ctx.Err()
				case "panic":
					panic("boom")
				default:
					return 1, nil
				}
			})
		}()
		synctest.Wait()
		want := m.admit()
		f.generation = m.generation
		if (reached > before) != want {
			rt.Fatalf("admitted %v, the model says %v in %v", reached > before, want, m.state)
		}
		if want {
			flights = append(flights, f)
			return
		}
		f.cancel()
		if !errors.Is(got, resilience.ErrOpen) {
			rt.Fatalf("refused with %v", got)
		}
	}
	finish := func(how string, i int) {
		f := flights[i]
		flights = append(flights[:i], flights[i+1:]...)
		if how == "canceled" {
			f.cancel()
		}
		f.finish <- how
		<-f.done
		f.cancel()
		m.settle(f.generation, how)
	}
	defer func() {
		for len(flights) > 0 {
			finish("success", 0)
		}
	}()

	rt.Repeat(map[string]func(*rapid.T){
		"start": start,
		"finish": func(rt *rapid.T) {
			if len(flights) == 0 {
				rt.Skip("nothing in flight")
			}
			how := rapid.SampledFrom([]string{"success", "failure", "failure", "permanent", "canceled", "panic"}).Draw(rt, "how")
			finish(how, rapid.IntRange(0, len(flights)-1).Draw(rt, "which"))
		},
		"sleep": func(rt *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
		},
		"": func(rt *rapid.T) {
			synctest.Wait()
			if got := p.State(); got.Breaker != m.state || got.InFlight != len(flights) {
				rt.Fatalf("state %v with %d in flight, the model says %v with %d", got.Breaker, got.InFlight, m.state, len(flights))
			}
			if len(seen) != len(m.transitions) {
				rt.Fatalf("%d transitions, the model says %d", len(seen), len(m.transitions))
			}
			for i, c := range seen {
				if c.From != m.transitions[i].From || c.To != m.transitions[i].To || c.Forced {
					rt.Fatalf("transition %d is %v, the model says %v", i, c, m.transitions[i])
				}
			}
		},
	})
}
