package observability

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Check is one question to a dependency, asked again and again in the background.
type Check struct {
	// Name says what is checked, such as "orders-db". Required, unique within a [Health].
	Name string
	// Probe asks. It must return soon after its context ends. Required.
	Probe func(ctx context.Context) error
	// Optional marks a dependency the service can do without: when it is down the service is degraded but ready.
	Optional bool
	// Interval is the pause between two probes. Default 5 s.
	Interval time.Duration
	// Timeout bounds one probe. Default 2 s.
	Timeout time.Duration
}

// CheckStatus is how a check stands.
type CheckStatus string

// The ways in which a check can stand.
const (
	// CheckPending has not been answered yet.
	CheckPending CheckStatus = "pending"
	CheckUp      CheckStatus = "up"
	CheckDown    CheckStatus = "down"
)

// CheckResult is the last answer of a check.
type CheckResult struct {
	Name     string
	Optional bool
	Status   CheckStatus
	// Err is why it is down; it may name hosts, so show it to operators only.
	Err error
	// Took is how long the probe took, At when it ended. Zero while pending.
	Took time.Duration
	At   time.Time
}

// HealthStatus is how the whole service stands.
type HealthStatus string

// The ways in which a service can stand. Ready and degraded ones may be sent requests.
const (
	HealthStarting    HealthStatus = "starting"
	HealthReady       HealthStatus = "ready"
	HealthDegraded    HealthStatus = "degraded"
	HealthUnavailable HealthStatus = "unavailable"
	HealthDraining    HealthStatus = "draining"
)

// Health evaluates checks in the background and answers from what it knows, so that a slow dependency never makes a
// health request slow and a flood of health requests never reaches a dependency. It is safe for concurrent use.
type Health struct {
	draining atomic.Bool

	mu      sync.Mutex
	running bool
	checks  []*checkState
	wake    chan struct{} // tells Run that there are more checks
}

type checkState struct {
	Check

	mu     sync.Mutex
	result CheckResult
}

// NewHealth makes a Health of checks; more can be added later. It asks nothing until [Health.Run]. The error joins
// everything that is wrong with the checks.
func NewHealth(checks ...Check) (*Health, error) {
	h := &Health{wake: make(chan struct{}, 1)}
	var problems []error
	for _, c := range checks {
		problems = append(problems, h.Add(c))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return h, nil
}

// Add adds a check, also while Run runs. The service is not ready before its first answer, unless it is optional.
func (h *Health) Add(c Check) error {
	switch {
	case c.Name == "":
		return errors.New("observability: health: a check has no name")
	case c.Probe == nil:
		return fmt.Errorf("observability: health: check %q has no probe", c.Name)
	case c.Interval < 0 || c.Timeout < 0:
		return fmt.Errorf("observability: health: check %q: Interval and Timeout must not be negative", c.Name)
	}
	if c.Interval == 0 {
		c.Interval = 5 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	s := &checkState{Check: c, result: CheckResult{Name: c.Name, Optional: c.Optional, Status: CheckPending}}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, other := range h.checks {
		if other.Name == c.Name {
			return fmt.Errorf("observability: health: there are two checks named %q", c.Name)
		}
	}
	h.checks = append(h.checks, s)
	select {
	case h.wake <- struct{}{}:
	default: // a call is pending already
	}
	return nil
}

// SetDraining makes readiness answer 503 from now on, or no longer. Liveness does not change.
func (h *Health) SetDraining(draining bool) { h.draining.Store(draining) }

// Run asks every check at once and then at its interval, until ctx ends; then it returns nil. A second Run beside the
// first only waits for its ctx, so a Health can be shared by several owners. A probe that does not return when its
// context ends is reported as down, is not asked again until it does, and is not waited for.
func (h *Health) Run(ctx context.Context) error {
	h.mu.Lock()
	first := !h.running
	h.running = true
	h.mu.Unlock()
	if !first {
		<-ctx.Done()
		return nil
	}
	var wg sync.WaitGroup
	defer func() {
		wg.Wait()
		h.mu.Lock()
		h.running = false
		h.mu.Unlock()
	}()
	for begun := 0; ; {
		h.mu.Lock()
		more := h.checks[begun:]
		begun = len(h.checks)
		h.mu.Unlock()
		for _, s := range more {
			wg.Go(func() { s.loop(ctx) })
		}
		select {
		case <-h.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *checkState) loop(ctx context.Context) {
	for {
		s.ask(ctx)
		select {
		case <-time.After(s.Interval):
		case <-ctx.Done():
			return
		}
	}
}

// ask runs the probe once. It returns when the probe does; a probe that ignores its context is reported as down after
// the timeout and left behind when ctx ends.
func (s *checkState) ask(ctx context.Context) {
	begun := time.Now()
	probe, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.probe(probe) }()
	select {
	case err := <-done:
		s.note(ctx, err, begun)
		return
	case <-probe.Done():
	}
	select { // a probe that returns because its context ended knows best what was wrong
	case err := <-done:
		s.note(ctx, err, begun)
		return
	case <-time.After(grace):
	}
	s.note(ctx, fmt.Errorf("observability: health: probe %q did not answer within %v", s.Name, s.Timeout), begun)
	select {
	case err := <-done:
		s.note(ctx, err, begun)
	case <-ctx.Done():
	}
}

// grace is how long a probe may take to notice that its context ended.
const grace = 50 * time.Millisecond

func (s *checkState) probe(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("observability: health: probe %q panicked: %v", s.Name, p)
		}
	}()
	return s.Probe(ctx)
}

// note keeps the answer, except one that only says that Run is over.
func (s *checkState) note(ctx context.Context, err error, begun time.Time) {
	if err != nil && ctx.Err() != nil {
		return
	}
	now := time.Now()
	r := CheckResult{Name: s.Name, Optional: s.Optional, Status: CheckUp, Took: now.Sub(begun), At: now}
	if err != nil {
		r.Status, r.Err = CheckDown, err
	}
	s.mu.Lock()
	s.result = r
	s.mu.Unlock()
}

// Status tells how the service stands and every check, in the order in which they were added.
func (h *Health) Status() (HealthStatus, []CheckResult) {
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()
	results := make([]CheckResult, len(checks))
	status := HealthReady
	for i, s := range checks {
		s.mu.Lock()
		results[i] = s.result
		s.mu.Unlock()
		status = worse(status, results[i])
	}
	if h.draining.Load() {
		status = HealthDraining
	}
	return status, results
}

func worse(status HealthStatus, r CheckResult) HealthStatus {
	switch {
	case r.Status == CheckDown && !r.Optional:
		return HealthUnavailable
	case r.Status == CheckPending && !r.Optional && status != HealthUnavailable:
		return HealthStarting
	case r.Status == CheckDown && status == HealthReady:
		return HealthDegraded
	default:
		return status
	}
}

// Ready reports whether the service may be sent requests.
func (h *Health) Ready() bool {
	s, _ := h.Status()
	return s == HealthReady || s == HealthDegraded
}
