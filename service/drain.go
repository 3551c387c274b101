package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// drainer ends a running service phase by phase.
type drainer struct {
	s              *Service
	public, admin  *http.Server
	components     []*running
	cancelRequests context.CancelCauseFunc
}

// cutGrace is what requests get to notice that their context was cancelled before their connection is cut.
const cutGrace = 250 * time.Millisecond

func (d *drainer) drain(ctx context.Context, cause error) Report {
	report := Report{Service: d.s.cfg.Name, Cause: cause}
	begun := time.Now()
	budget := d.s.cfg.Drain
	for _, phase := range []struct {
		name   string
		budget time.Duration
		run    func(context.Context, *PhaseReport)
	}{
		{"not ready", budget.Linger, d.linger},
		{"stop ingress", budget.Ingress, d.stopIngress},
		{"finish work", budget.Work, func(ctx context.Context, p *PhaseReport) { end(ctx, FinishWork, d.components, p) }},
		{"flush telemetry", budget.Flush, d.flush},
		{"close clients", budget.Close, d.closeClients},
	} {
		p := PhaseReport{Name: phase.name, Budget: phase.budget}
		phaseBegun := time.Now()
		phaseCtx, cancel := context.WithTimeout(ctx, phase.budget)
		phase.run(phaseCtx, &p)
		cancel()
		p.Took = time.Since(phaseBegun)
		report.Phases = append(report.Phases, p)
	}
	report.Took = time.Since(begun)
	return report
}

// linger serves on while whoever balances load finds out that this instance is going.
func (d *drainer) linger(ctx context.Context, _ *PhaseReport) {
	d.s.health.SetDraining(true)
	d.s.draining.Store(true)
	<-ctx.Done()
}

// stopIngress closes the public listener, lets requests in flight finish, and ends consumers at the same time. What
// outlasts the budget is cancelled, then cut.
func (d *drainer) stopIngress(ctx context.Context, p *PhaseReport) {
	begun := time.Now()
	done := make(chan error, 1)
	go func() { done <- d.public.Shutdown(ctx) }()
	end(ctx, StopIngress, d.components, p)
	err := <-done
	if err != nil {
		d.cancelRequests(errDrained)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), cutGrace)
		defer cancel()
		cut := "and were cancelled"
		if d.public.Shutdown(grace) != nil {
			cut = "and were cut"
			_ = d.public.Close() // it has been shut down; this closes what is left of its connections
		}
		err = fmt.Errorf("service: requests did not finish within the budget %s", cut)
	}
	p.Parts = append(p.Parts, PartReport{Name: "http", Took: time.Since(begun), Err: err})
}

func (d *drainer) flush(ctx context.Context, p *PhaseReport) {
	begun := time.Now()
	p.Parts = append(p.Parts, PartReport{Name: "telemetry", Err: d.s.tel.Flush(ctx), Took: time.Since(begun)})
}

// closeClients ends what everything else leans on, the admin listener (which could be looked at until now) and, last, a
// telemetry of the service's own.
func (d *drainer) closeClients(ctx context.Context, p *PhaseReport) {
	end(ctx, CloseClients, d.components, p)
	if d.admin != nil {
		begun := time.Now()
		var err error
		grace, cancel := context.WithTimeout(ctx, cutGrace)
		defer cancel()
		if d.admin.Shutdown(grace) != nil {
			err = d.admin.Close() // a stream to an operator's page is no reason to wait
		}
		p.Parts = append(p.Parts, PartReport{Name: "admin", Took: time.Since(begun), Err: err})
	}
	if d.s.ownsTel {
		begun := time.Now()
		err := d.s.tel.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.New("service: telemetry did not end within its phase")
		}
		p.Parts = append(p.Parts, PartReport{Name: "telemetry", Took: time.Since(begun), Err: err})
	}
}
