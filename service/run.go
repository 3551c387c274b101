package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"

	"go.uber.org/zap"
)

// errDrained is the cause of cancelling requests that outlast the drain.
var errDrained = errors.New("service: the drain's budget for requests has ended")

// Run serves until ctx ends, a component fails or a listener breaks, then drains and returns. It can be called once.
//
// The error is nil after a clean drain that ctx asked for. Otherwise it joins what ended the service and what went wrong
// in the drain; the [Report] tells it by phase. Run also refuses to start when a route or component was refused.
func (s *Service) Run(ctx context.Context) error {
	if err := s.Listen(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	if s.started {
		s.mu.Unlock()
		return fmt.Errorf("service: %s: Run can be called once", s.cfg.Name)
	}
	s.started = true
	components := slices.Clone(s.components)
	public, admin := s.public, s.admin
	refused := errors.Join(s.refused...) // also since Listen
	s.mu.Unlock()
	if refused != nil {
		return errors.Join(fmt.Errorf("service: %s: refuses to start: %w", s.cfg.Name, refused), public.Close(), closeListener(admin))
	}

	// Everything below outlives ctx: its end begins the drain, and cancels nothing by itself.
	life := context.WithoutCancel(ctx)
	requests, cancelRequests := context.WithCancelCause(life)
	defer cancelRequests(nil)
	d := &drainer{s: s, cancelRequests: cancelRequests}
	var err error
	if d.public, err = s.newServer(requests, s.Handler()); err != nil {
		return errors.Join(err, public.Close(), closeListener(admin))
	}
	if admin != nil {
		if d.admin, err = s.newServer(life, s.AdminHandler()); err != nil {
			return errors.Join(err, public.Close(), admin.Close())
		}
		d.admin.WriteTimeout = adminWriteTimeout
	}

	failed := make(chan error, 1)
	health := Component{Name: "health", Run: s.health.Run, Phase: CloseClients}
	d.components = s.start(life, append([]Component{health}, components...), failed)
	var serving sync.WaitGroup
	serving.Go(func() { serve(d.public, public, "public", failed) })
	if d.admin != nil {
		serving.Go(func() { serve(d.admin, admin, "admin", failed) })
	}
	s.tel.Logger().Info("serving", zap.String("addr", s.Addr()), zap.String("admin_addr", s.AdminAddr()),
		zap.Int("routes", len(s.Routes())))

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
		s.tel.Logger().Error("the service ends because a part of it failed", zap.Error(cause))
	}
	report := d.drain(life, cause)
	serving.Wait()
	s.finish(report)
	return report.Err()
}

// finish makes the report known.
func (s *Service) finish(report Report) {
	s.mu.Lock()
	s.report = report
	s.mu.Unlock()
	log := s.tel.Logger().Info
	if report.Err() != nil {
		log = s.tel.Logger().Error
	}
	log("drained", report.fields()...)
	if s.cfg.OnReport != nil {
		s.cfg.OnReport(report)
	}
}

// Report tells how the drain went; zero before Run has returned.
func (s *Service) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

func serve(server *http.Server, l net.Listener, name string, failed chan<- error) {
	err := server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return
	}
	select {
	case failed <- fmt.Errorf("service: the %s listener broke: %w", name, err):
	default: // the service ends already
	}
}

func closeListener(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}
