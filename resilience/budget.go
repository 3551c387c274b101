package resilience

import (
	"math/rand/v2"
	"sync"
	"time"
)

// budgetBurst is how many repetitions may be taken ahead of the calls that pay for them.
const budgetBurst = 10

// budget is a bucket of repetitions: each call puts a fraction in, each repetition takes one out. So repetitions are at most
// budgetBurst + ratio × calls over any span, however long an outage lasts. (The retry budget of Twitter's Finagle.)
type budget struct {
	ratio float64

	mu     sync.Mutex
	tokens float64
}

func newBudget(ratio float64) *budget { return &budget{ratio: ratio, tokens: budgetBurst} }

func (b *budget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+b.ratio, budgetBurst)
}

func (b *budget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *budget) level() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens
}

// delay is the wait after the attempt'th failed attempt (from 1): a random part of First doubled each time, at most Cap; at
// least what the dependency asked for. ok is false when it asked for more than Cap.
func (r Retry) delay(attempt int, asked time.Duration) (d time.Duration, ok bool) {
	if asked > r.Cap {
		return 0, false
	}
	bound := r.First
	for i := 1; i < attempt && bound < r.Cap; i++ {
		bound *= 2 // cannot overflow: it was below Cap, which is at most a day
	}
	bound = min(bound, r.Cap)
	if !r.DisableJitter {
		bound = time.Duration(rand.Int64N(int64(bound) + 1))
	}
	return max(bound, asked), true
}
