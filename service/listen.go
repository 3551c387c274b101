package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Listen opens both listeners without serving yet: what is wrong with an address shows here, before anything started.
// [Service.Run] calls it when it was not called. Routes and components may be added after it. Calling it again changes
// nothing. Listeners are closed by Run, or by [Service.Close] when Run is never called.
func (s *Service) Listen(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public != nil {
		return nil
	}
	if err := errors.Join(s.refused...); err != nil {
		return fmt.Errorf("service: %s: refuses to start: %w", s.cfg.Name, err)
	}
	public, err := listen(ctx, s.cfg.Name, "Addr", s.cfg.Addr)
	if err != nil {
		return err
	}
	if !s.cfg.DisableAdmin {
		if s.admin, err = listen(ctx, s.cfg.Name, "AdminAddr", s.cfg.AdminAddr); err != nil {
			return errors.Join(err, public.Close())
		}
	}
	s.public = public
	return nil
}

// Close closes listeners that [Service.Listen] opened when Run is never called. After Run it does nothing.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.public == nil {
		return nil
	}
	s.started = true
	err := s.public.Close()
	if s.admin != nil {
		err = errors.Join(err, s.admin.Close())
	}
	return err
}

func listen(ctx context.Context, name, field, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		return l, nil
	}
	_, port, _ := net.SplitHostPort(addr) // New checked the form
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("service: %s: port %s is in use by another process: stop that one (`ss -ltnp 'sport = :%s'` names it) "+
			"or set %s to another port: %w", name, port, port, field, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("service: %s: this user may not listen on port %s: set %s to a port above 1023: %w", name, port, field, err)
	default:
		return nil, fmt.Errorf("service: %s: cannot listen on %s %q: %w", name, field, addr, err)
	}
}

// Addr is the public address, with the real port once [Service.Listen] has returned.
func (s *Service) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.public != nil {
		return s.public.Addr().String()
	}
	return s.cfg.Addr
}

// AdminAddr is the admin address, with the real port once [Service.Listen] has returned; "" when there is none.
func (s *Service) AdminAddr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin != nil {
		return s.admin.Addr().String()
	}
	return s.cfg.AdminAddr
}

func (s *Service) newServer(base context.Context, h http.Handler) (*http.Server, error) {
	errorLog, err := zap.NewStdLogAt(s.tel.Logger().Named("http"), zap.WarnLevel)
	if err != nil {
		return nil, err
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.cfg.ReadHeaderTimeout, ReadTimeout: s.cfg.ReadTimeout,
		WriteTimeout: s.cfg.WriteTimeout, IdleTimeout: s.cfg.IdleTimeout,
		MaxHeaderBytes: s.cfg.MaxHeaderBytes,
		ErrorLog:       errorLog,
		BaseContext:    func(net.Listener) context.Context { return base },
		// OPTIONS * goes through the routes like everything else.
		DisableGeneralOptionsHandler: true,
	}, nil
}

// adminWriteTimeout leaves room for a CPU profile of a minute.
const adminWriteTimeout = 90 * time.Second
