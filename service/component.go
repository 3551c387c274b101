package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Phase says when in the drain a component ends.
type Phase int

// The phases in which components end; see the package comment for all of them.
const (
	// FinishWork is for workers: they end after the last request was answered. The zero value.
	FinishWork Phase = iota
	// StopIngress is for what takes new work in, such as Kafka consumers: they end together with the listeners.
	StopIngress
	// CloseClients is for what others lean on: databases, brokers, caches. They end last, after telemetry was flushed.
	CloseClients
)

// Component is a part of the service besides its routes: a worker, a consumer, a client to close.
type Component struct {
	// Name names it in logs, errors and the report. Required, unique in the service.
	Name string
	// Run works until its context ends. A result before that ends the service when it is an error; nil means that there is
	// nothing more to do. A panic counts as an error. May be nil when Stop is set.
	Run func(ctx context.Context) error
	// Stop is called when the component's phase comes, after Run has returned; its context ends with the phase. May be nil.
	Stop func(ctx context.Context) error
	// Phase is when it ends.
	Phase Phase
}

// Add adds components. They start together, before the first request is served; within a phase, Run functions end
// together and then Stop functions are called in the reverse order of adding. What cannot be added is named in the
// error and in that of [Service.Run], which refuses to run then.
func (s *Service) Add(components ...Component) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var problems []error
	for _, c := range components {
		if err := s.addLocked(c); err != nil {
			problems = append(problems, fmt.Errorf("service: component %q: %w", c.Name, err))
		}
	}
	s.refused = append(s.refused, problems...)
	return errors.Join(problems...)
}

func (s *Service) addLocked(c Component) error {
	switch {
	case s.started:
		return errors.New("the service runs already")
	case c.Name == "":
		return errors.New("it has no name")
	case c.Run == nil && c.Stop == nil:
		return errors.New("it has neither Run nor Stop")
	case c.Phase < FinishWork || c.Phase > CloseClients:
		return fmt.Errorf("its phase %d is unknown", c.Phase)
	}
	for _, other := range s.components {
		if other.Name == c.Name {
			return errors.New("there is another one by that name")
		}
	}
	s.components = append(s.components, c)
	return nil
}

// running is a component whose Run was started.
type running struct {
	Component
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run; read after done
}

// start runs the components; what fails by itself is sent to failed.
func (s *Service) start(ctx context.Context, components []Component, failed chan<- error) []*running {
	out := make([]*running, 0, len(components))
	for _, c := range components {
		r := &running{Component: c, done: make(chan struct{}), cancel: func() {}}
		out = append(out, r)
		if c.Run == nil {
			close(r.done)
			continue
		}
		var runCtx context.Context
		runCtx, r.cancel = context.WithCancel(ctx)
		go func() {
			defer close(r.done)
			err := s.protect(runCtx, c)
			if err == nil || runCtx.Err() != nil && errors.Is(err, context.Canceled) {
				return
			}
			r.err = fmt.Errorf("service: component %q: %w", c.Name, err)
			select {
			case failed <- r.err:
			default: // another one failed first; this one is in the report
			}
		}()
	}
	return out
}

func (s *Service) protect(ctx context.Context, c Component) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.tel.Log(ctx).Error("panic", zap.String("component", c.Name), zap.String("panic", fmt.Sprint(v)),
				zap.String("stack", string(debug.Stack())))
			err = errors.New("it panicked; the stack is in the log")
		}
	}()
	return c.Run(ctx)
}

// end ends the components of one phase and notes each in the report.
func end(ctx context.Context, phase Phase, components []*running, report *PhaseReport) {
	begun := time.Now()
	for _, c := range components {
		if c.Phase == phase {
			c.cancel()
		}
	}
	errs := map[*running]error{}
	for _, c := range components {
		if c.Phase != phase {
			continue
		}
		select {
		case <-c.done:
			errs[c] = c.err
			continue
		default:
		}
		select {
		case <-c.done:
			errs[c] = c.err
		case <-ctx.Done():
			errs[c] = fmt.Errorf("service: component %q did not stop within its phase", c.Name)
		}
	}
	for _, c := range slices.Backward(components) {
		if c.Phase != phase {
			continue
		}
		if c.Stop != nil {
			errs[c] = errors.Join(errs[c], stop(ctx, c.Component))
		}
		report.Parts = append(report.Parts, PartReport{Name: c.Name, Took: time.Since(begun), Err: errs[c]})
	}
}

// stop calls Stop and waits no longer than the phase lasts: closing a pool waits for its connections, and one that never
// comes back must not keep the process from ending.
func stop(ctx context.Context, c Component) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				done <- fmt.Errorf("service: component %q panicked in Stop: %v", c.Name, v)
			}
		}()
		done <- c.Stop(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("service: component %q: stop: %w", c.Name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("service: component %q: Stop did not return within its phase", c.Name)
	}
}
