package resilience

import (
	"errors"
	"fmt"
	"time"
)

// Config describes one policy. The zero value of each field is a usable default, so Config{Name: "payment"} is complete.
// It can be a part of a configuration file's struct; functions are skipped there.
type Config struct {
	// Name names the policy in errors, events and metrics: 1 to 100 of a-z, A-Z, 0-9, '.', '_' and '-'. Required.
	Name string
	// Timeout limits each attempt, without the wait for a bulkhead permit. Default 10s.
	Timeout time.Duration
	// DisableTimeout leaves attempts to the caller's deadline alone.
	DisableTimeout bool
	// Retry repeats failed calls that are marked idempotent.
	Retry Retry
	// Breaker stops calls while the dependency fails.
	Breaker Breaker
	// Bulkhead bounds the calls in flight; none by default.
	Bulkhead Bulkhead
	// Classify says what an error means; nil is [DefaultClassify]. It must be safe for concurrent use.
	Classify func(error) Outcome `config:"-"`
	// Hooks receive what happens.
	Hooks Hooks `config:"-"`
}

// Retry repeats failed calls that are marked with [Idempotent].
type Retry struct {
	// Disable turns repetition off.
	Disable bool
	// Max is the number of repetitions after the first attempt. Default 2, at most 100. (saga.Retry.Max counts the first
	// attempt too. Inside a step of a saga the two multiply: there disable one of them.)
	Max int
	// First is the upper bound of the wait before the first repetition; it doubles each time. Default 100ms.
	First time.Duration
	// Cap bounds the wait. An error that asks, through RetryAfter, for a longer one ends the call at once. Default 5s, at most 24h.
	Cap time.Duration
	// DisableJitter waits the whole bound instead of a random part of it (full jitter).
	DisableJitter bool
	// Budget is the number of repetitions that one call pays for in the long run, so that a dependency that is down gets at most
	// 1+Budget times its normal load. A burst of 10 repetitions is allowed on top. Default 0.2; above 0, at most 100.
	Budget float64
}

// Breaker stops calls to a dependency that fails.
type Breaker struct {
	// Disable lets every call pass, other than through [Policy.ForceOpen].
	Disable bool
	// Failures within Window open the breaker. Default 5, at most 100 000.
	Failures int
	// Window is the time over which failures are counted, in ten slices. Default 10s, at least 1ms.
	Window time.Duration
	// Cooldown is how long it stays open before probes are let through. Default 5s.
	Cooldown time.Duration
	// Probes is how many calls are let through half-open, no more until all have answered: all must succeed to close it,
	// one failure opens it again. Default 1, at most 1 000.
	Probes int
}

// Bulkhead bounds the calls that run at the same time.
type Bulkhead struct {
	// Max is the bound. Default 0: none. At most 1 000 000.
	Max int
	// Wait is how long a call waits for a permit before it is rejected. Default 0: not at all.
	Wait time.Duration
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Timeout, 10*time.Second)
	def(&c.Retry.First, 100*time.Millisecond)
	def(&c.Retry.Cap, 5*time.Second)
	def(&c.Breaker.Window, 10*time.Second)
	def(&c.Breaker.Cooldown, 5*time.Second)
	if c.Retry.Max == 0 {
		c.Retry.Max = 2
	}
	if c.Retry.Budget == 0 {
		c.Retry.Budget = 0.2
	}
	if c.Breaker.Failures == 0 {
		c.Breaker.Failures = 5
	}
	if c.Breaker.Probes == 0 {
		c.Breaker.Probes = 1
	}
	if c.Classify == nil {
		c.Classify = DefaultClassify
	}
	return c
}

// validate expects defaults to be filled in.
func (c Config) validate() error {
	var problems []error
	check := func(ok bool, key, want string, got any) {
		if !ok {
			problems = append(problems, fmt.Errorf("resilience: policy %q: %s must be %s, not %v", c.Name, key, want, got))
		}
	}
	check(validName(c.Name), "Name", "1 to 100 of a-z A-Z 0-9 . _ -", fmt.Sprintf("%q", c.Name))
	check(c.Timeout > 0, "Timeout", "positive", c.Timeout)
	check(c.Retry.Max > 0 && c.Retry.Max <= 100, "Retry.Max", "1 to 100 (Retry.Disable turns it off)", c.Retry.Max)
	check(c.Retry.First > 0, "Retry.First", "positive", c.Retry.First)
	check(c.Retry.Cap >= c.Retry.First && c.Retry.Cap <= 24*time.Hour, "Retry.Cap", "Retry.First to 24h", c.Retry.Cap)
	check(c.Retry.Budget > 0 && c.Retry.Budget <= 100, "Retry.Budget", "above 0 and at most 100", c.Retry.Budget)
	check(c.Breaker.Failures > 0 && c.Breaker.Failures <= 100_000, "Breaker.Failures", "1 to 100000", c.Breaker.Failures)
	check(c.Breaker.Window >= time.Millisecond, "Breaker.Window", "at least 1ms", c.Breaker.Window)
	check(c.Breaker.Cooldown > 0, "Breaker.Cooldown", "positive", c.Breaker.Cooldown)
	check(c.Breaker.Probes > 0 && c.Breaker.Probes <= 1000, "Breaker.Probes", "1 to 1000", c.Breaker.Probes)
	check(c.Bulkhead.Max >= 0 && c.Bulkhead.Max <= 1_000_000, "Bulkhead.Max", "0 (no bound) to 1000000", c.Bulkhead.Max)
	check(c.Bulkhead.Wait >= 0, "Bulkhead.Wait", "0 or more", c.Bulkhead.Wait)
	return errors.Join(problems...)
}

// validName keeps names fit for metric labels, log lines and URLs.
func validName(name string) bool {
	if name == "" || len(name) > 100 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
